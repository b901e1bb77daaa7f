package lashup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/fabric"
	"fulcrum.example/lashup/store/vfs"
)

// load writes without pause, and notes the longest time that a write took.
type load struct {
	written atomic.Int64
	longest atomic.Int64 // nanoseconds
	group   sync.WaitGroup
}

func (l *load) start(ctx context.Context, t *testing.T, c *fabric.Client, workers int) {
	for i := range workers {
		l.group.Go(func() {
			n := c.Counter("load", fmt.Sprint(i))
			for ctx.Err() == nil {
				began := time.Now()
				// A write that is cut off by the end of the test would be one of
				// which nobody knows whether it was applied.
				if err := n.Incr(context.WithoutCancel(ctx), 1); err != nil {
					t.Errorf("a write failed: %v", err)
					return
				}
				l.written.Add(1)
				if d := int64(time.Since(began)); d > l.longest.Load() {
					l.longest.Store(d)
				}
			}
		})
	}
}

// sum is what a node holds of the load.
func sum(t *testing.T, c *fabric.Client) (n int64) {
	t.Helper()
	for e, err := range c.Scan(soon(t), fabric.Prefix("load"), fabric.ScanOptions{}) {
		must(t, err)
		n += e.Value.Count
	}
	return n
}

// unbroken watches from one host how another fares, and fails the test if it is
// ever anything but up.
func unbroken(ctx context.Context, t *testing.T, from *fabric.Client, id crux.NodeID, group *sync.WaitGroup) {
	group.Go(func() {
		for e, err := range from.WatchMembers(ctx) {
			if err != nil {
				return
			}
			for _, m := range e.List {
				if m.Node == id && m.State != fabric.Up {
					t.Errorf("%v was taken for %v", id, m.State)
				}
			}
		}
	})
}

func inst(t *testing.T, c *fabric.Client) crux.Inst {
	s, err := c.Stats(soon(t))
	must(t, err)
	return s.Inst
}

func TestAnUpgradeUnderLoadLosesNothingAndNobodyNotices(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 3)
	var clients []*fabric.Client
	var routines []*routine
	for _, h := range b.hosts {
		routines = append(routines, h.run("lashup1_0"))
		clients = append(clients, h.client())
	}
	b.formed(clients, 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watchers sync.WaitGroup
	for _, c := range clients[1:] {
		unbroken(ctx, t, c, b.hosts[0].member.ID, &watchers)
	}
	local := follow(ctx, clients[0], fabric.Prefix("marks"))
	local.sees(t, "synced")
	before, err := clients[0].Stats(soon(t))
	must(t, err)

	var l load
	loading, enough := context.WithCancel(ctx)
	l.start(loading, t, clients[0], 4)
	want := "synced"
	mark := func(name string) {
		t.Helper()
		must(t, clients[0].Counter("marks", name).Incr(soon(t), 1))
		want += " marks/" + name + ":nothing>1"
	}
	depth := fabric.NewRegister[int](clients[0], clients[0].Volatile("depth")...)
	must(t, depth.Set(ctx, 5))
	mark("before")
	eventually(t, "some writes", func() bool { return l.written.Load() > 200 || t.Failed() })
	next := b.hosts[0].run("lashup1_1")
	eventually(t, "the successor", func() bool { return inst(t, clients[0]) == "lashup1_1" })
	mark("between")
	routines[0].stop()
	mark("after")
	after := l.written.Load()
	eventually(t, "more writes", func() bool { return l.written.Load() > after+100 || t.Failed() })
	enough()
	l.group.Wait()
	t.Logf("%d writes, the longest took %v", l.written.Load(), time.Duration(l.longest.Load()))

	for _, c := range clients {
		eventually(t, "every write on every node", func() bool { return sum(t, c) == l.written.Load() })
	}
	local.sees(t, want)
	now, err := clients[0].Stats(soon(t))
	if must(t, err); now.Epoch != before.Epoch {
		t.Errorf("epoch %d, before %d", now.Epoch, before.Epoch)
	}
	if n, ok, err := depth.Get(soon(t)); n != 5 || !ok || err != nil {
		t.Errorf("the volatile key: %d, %v, %v", n, ok, err)
	}
	cancel()
	watchers.Wait()
	<-local.done
	next.stop()
}

// two is a bloc of two hosts that see each other.
func two(t *testing.T) (b *bloc, old *routine, clients []*fabric.Client) {
	t.Helper()
	b = newBloc(t, 2)
	old = b.hosts[0].run("lashup1_0")
	b.hosts[1].run("lashup1_0")
	clients = []*fabric.Client{b.hosts[0].client(), b.hosts[1].client()}
	b.formed(clients, 2)
	return b, old, clients
}

func TestASuccessorThatDiesLeavesAllToTheOldProcess(t *testing.T) {
	t.Parallel()
	b, old, clients := two(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watchers sync.WaitGroup
	unbroken(ctx, t, clients[1], b.hosts[0].member.ID, &watchers)
	var l load
	loading, enough := context.WithCancel(ctx)
	l.start(loading, t, clients[0], 2)

	// It takes everything, and is gone before it serves.
	token, err := tokenOf(b.hosts[0].dir)
	must(t, err)
	for _, last := range []byte{kindStore, kindFabric} {
		c, err := dialOwner(ctx, b.hosts[0].dir+"/"+doorName, hello{Version: handoverVersion, Token: token, Inst: "lashup1_1"})
		must(t, err)
		var o offer
		must(t, c.receive(kindOffer, helloPatience, &o))
		m, err := c.answer(kindReady, kindStore)
		must(t, err)
		if last == kindFabric {
			m, err = c.answer(kindOpened, kindFabric)
			must(t, err)
		}
		closeAll(m.files)
		c.Close()
		was := l.written.Load()
		eventually(t, "writes to go on", func() bool { return l.written.Load() > was+50 || t.Failed() })
	}
	enough()
	l.group.Wait()
	t.Logf("%d writes, the longest took %v", l.written.Load(), time.Duration(l.longest.Load()))
	for _, c := range clients {
		eventually(t, "every write on every node", func() bool { return sum(t, c) == l.written.Load() })
	}
	if got := inst(t, clients[0]); got != "lashup1_0" {
		t.Errorf("%s answers", got)
	}
	// A whole one takes over all the same.
	next := b.hosts[0].run("lashup1_2")
	eventually(t, "the successor", func() bool { return inst(t, clients[0]) == "lashup1_2" })
	old.stop()
	must(t, clients[0].Counter("x").Incr(soon(t), 1))
	eventually(t, "it elsewhere", func() bool { n, err := clients[1].Counter("x").Value(soon(t)); return n == 1 && err == nil })
	cancel()
	watchers.Wait()
	next.stop()
}

// A taker that opens the store, is given the fabric, gets no time, and lets go of the
// store late.
func TestASuccessorThatIsLateLeavesAllToTheOldProcess(t *testing.T) {
	t.Parallel()
	b, old, clients := two(t)
	must(t, clients[0].Counter("x").Incr(soon(t), 1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watchers sync.WaitGroup
	unbroken(ctx, t, clients[1], b.hosts[0].member.ID, &watchers)

	token, err := tokenOf(b.hosts[0].dir)
	must(t, err)
	c, err := dialOwner(ctx, b.hosts[0].dir+"/"+doorName, hello{Version: handoverVersion, Token: token, Inst: "lashup1_1"})
	must(t, err)
	defer c.Close()
	var o offer
	must(t, c.receive(kindOffer, helloPatience, &o))
	_, err = c.answer(kindReady, kindStore)
	must(t, err)
	files, err := vfs.OpenOS(filepath.Join(b.hosts[0].dir, storeName))
	must(t, err)
	defer files.Close()
	lock, err := files.Lock("lock", "the late one")
	must(t, err)
	m, err := c.answer(kindOpened, kindFabric)
	must(t, err)
	defer closeAll(m.files)
	if _, err := c.expect(kindYours, 10*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("it is to hear the end of what it is too late for, and hears %v", err)
	}
	// The connection has ended: the owner is taking everything back.
	bounded, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	defer stop()
	if err := clients[0].Counter("x").Incr(bounded, 1); err == nil {
		t.Error("the store takes writes while another has its folder")
	}
	must(t, lock.Close())
	eventually(t, "writes to go on", func() bool { return clients[0].Counter("x").Incr(soon(t), 1) == nil })
	eventually(t, "the writes elsewhere", func() bool { n, err := clients[1].Counter("x").Value(soon(t)); return n >= 2 && err == nil })
	cancel()
	watchers.Wait()
	old.stop()
}
