package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/fabric"
)

// TestLashupIsReplacedOnLiveNodes rolls out a newer lashup over the one that is
// built in, and takes it back, while clients write and watch: no write fails or is
// lost, no watcher misses a change, and no node takes another for anything but up.
func TestLashupIsReplacedOnLiveNodes(t *testing.T) {
	ctx := whole(t)
	newer := filepath.Join(t.TempDir(), "lashup1_1")
	if out, err := exec.Command("go", "build", "-o", newer, "./testdata/lashup1_1").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	const nodes = 3
	b, _ := startBloc(ctx, t, nodes)
	all := watchFabric(ctx, t, b)
	allUp(ctx, t, all)
	c := commands(t, b.Nodes[0])
	c.ok("publish", newer, "--inst", "lashup1_1", "--func", "Lashup1_1")

	load := startWrites(ctx, t, all)
	began := time.Now()
	c.ok("rollout", "lashup1_1", "--count", "3")
	eventually(ctx, t, func(ctx context.Context) string { return lashupsAre(ctx, all, "lashup1_1", "lashup1_0") })
	t.Logf("replaced on %d nodes within %v of the command", nodes, time.Since(began).Round(time.Millisecond))
	c.ok("rollout", "lashup1_1", "--count", "0")
	eventually(ctx, t, func(ctx context.Context) string { return lashupsAre(ctx, all, "lashup1_0", "lashup1_1") })
	written := load.end()
	t.Logf("%d writes, the longest took %v", written, load.longest())

	for _, w := range all {
		eventually(ctx, t, func(ctx context.Context) string {
			n, err := w.client.Counter("load").Value(ctx)
			if err != nil {
				return err.Error()
			}
			if n != written {
				return w.node.Name + " to have counted every acknowledged write once"
			}
			return ""
		})
		for id := range w.changes(began) {
			t.Errorf("%s took %s for something else than up during the change", w.node.Name, id)
		}
	}
}

// lashupsAre says which node does not yet run the one version alone.
func lashupsAre(ctx context.Context, all []*watcher, now, gone crux.Inst) string {
	for _, w := range all {
		u, err := unit(ctx, w.node.Dir, now)
		if err != nil {
			return err.Error()
		}
		if u.State != "serving" {
			return w.node.Name + "'s " + string(now) + " to serve; it is " + u.State
		}
		if _, err := unit(ctx, w.node.Dir, gone); err == nil {
			return w.node.Name + "'s " + string(gone) + " to be gone"
		}
	}
	return ""
}

// changes are the nodes whose state has changed since a time.
func (w *watcher) changes(since time.Time) map[crux.NodeID]fabric.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[crux.NodeID]fabric.State{}
	for id, at := range w.changed {
		if at.After(since) {
			out[id] = w.states[id].State
		}
	}
	return out
}

// writes are clients, one a node, that count without pause.
type writes struct {
	stop  chan struct{}
	group sync.WaitGroup
	n     atomic.Int64
	worst atomic.Int64
}

func startWrites(ctx context.Context, t *testing.T, all []*watcher) *writes {
	l := &writes{stop: make(chan struct{})}
	t.Cleanup(func() { l.end() })
	for _, w := range all {
		l.group.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				began := time.Now()
				if err := w.client.Counter("load").Incr(ctx, 1); err != nil {
					t.Errorf("a write at %s failed: %v", w.node.Name, err)
					return
				}
				l.n.Add(1)
				l.worst.Store(max(l.worst.Load(), int64(time.Since(began)))) // of one of them, if two have the worst at once
			}
		})
	}
	return l
}

// end ends the clients and says how many writes were acknowledged.
func (l *writes) end() int64 {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.group.Wait()
	return l.n.Load()
}

func (l *writes) longest() time.Duration {
	return time.Duration(l.worst.Load()).Round(time.Millisecond)
}
