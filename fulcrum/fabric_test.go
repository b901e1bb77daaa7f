package main

import (
	"context"
	flags "flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/fabric"
	"fulcrum.example/fulcrum/local"
	"fulcrum.example/fulcrum/operator"
)

var (
	fabricNodes   = flags.Int("fabric-nodes", 6, "nodes of the tests of the fabric with real processes")
	fabricFigures = flags.Int("fabric-rounds", 1, "failures of each kind, and ten times as many updates, in those tests")
)

// watcher follows what one node's fabric says.
type watcher struct {
	node   *local.Node
	client *operator.Fabric

	mu      sync.Mutex
	states  map[crux.NodeID]fabric.Member
	changed map[crux.NodeID]time.Time
	seen    map[string]time.Time // keys, by their text
}

// watchFabric attaches to every node of a bloc, until the test ends.
func watchFabric(ctx context.Context, t *testing.T, b *local.Bloc) []*watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	var all []*watcher
	t.Cleanup(func() {
		cancel()
		group.Wait()
		for _, w := range all {
			w.client.Close()
		}
	})
	for _, n := range b.Nodes {
		var c *operator.Fabric
		eventually(ctx, t, func(ctx context.Context) string { // its lashup may be starting
			var err error
			if c, err = operator.DialFabric(ctx, n.Dir); err != nil {
				return err.Error()
			}
			return ""
		})
		w := &watcher{node: n, client: c, states: map[crux.NodeID]fabric.Member{}, changed: map[crux.NodeID]time.Time{}, seen: map[string]time.Time{}}
		all = append(all, w)
		group.Go(func() { w.followMembers(ctx) })
		group.Go(func() { w.followKeys(ctx) })
	}
	return all
}

func (w *watcher) followMembers(ctx context.Context) {
	for e, err := range w.client.WatchMembers(ctx) {
		if err != nil {
			return
		}
		w.mu.Lock()
		for _, m := range e.List {
			if w.states[m.Node].State != m.State {
				w.changed[m.Node] = time.Now()
			}
			w.states[m.Node] = m
		}
		w.mu.Unlock()
	}
}

func (w *watcher) followKeys(ctx context.Context) {
	for e, err := range w.client.Watch(ctx, fabric.Prefix("update")) {
		if err != nil {
			return
		}
		w.mu.Lock()
		w.seen[fabric.FormatKey(e.Key)] = time.Now()
		w.mu.Unlock()
	}
}

// state is what the node says of another, and since when it has said so.
func (w *watcher) state(id crux.NodeID) (fabric.State, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.states[id].State, w.changed[id]
}

func (w *watcher) ups() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.states {
		if m.State == fabric.Up {
			n++
		}
	}
	return n
}

// allUp waits until all see all.
func allUp(ctx context.Context, t *testing.T, all []*watcher) {
	t.Helper()
	eventually(ctx, t, func(context.Context) string {
		for _, w := range all {
			if n := w.ups(); n != len(all) {
				return fmt.Sprintf("%s to see %d members up, and not %d", w.node.Name, len(all), n)
			}
		}
		return ""
	})
}

// lashupOf is the process of a node's lashup.
func lashupOf(ctx context.Context, t *testing.T, n *local.Node) int {
	t.Helper()
	pid := 0
	eventually(ctx, t, func(ctx context.Context) string {
		u, err := unit(ctx, n.Dir, "lashup1_0")
		if err != nil {
			return err.Error()
		}
		if u.State != "serving" || u.PID == 0 {
			return n.Name + "'s lashup to serve"
		}
		pid = u.PID
		return ""
	})
	return pid
}

// times are durations, of which the test's log has the usual figures.
type times []time.Duration

func (d times) at(q float64) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

func (d times) String() string {
	return fmt.Sprintf("median %v, worst %v (%d)", d.at(0.5).Round(time.Millisecond), d.at(1).Round(time.Millisecond), len(d))
}

// TestTheFabricOfRealProcesses holds what the fabric promises with real processes:
// all see all; a member that is killed or hangs is known to all others as what it
// is, and is back when it is; every update arrives everywhere. It logs how long each
// took; with -fabric-nodes 40 -fabric-rounds 20 these are the figures of
// docs/measurements.md.
func TestTheFabricOfRealProcesses(t *testing.T) {
	ctx := whole(t)
	if *fabricFigures >= 10 {
		longer, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
		defer cancel()
		ctx = longer
	}
	b := makeBloc(t, local.Options{Nodes: *fabricNodes})
	startAll(t, b)
	started := time.Now()
	leader := ready(ctx, t, b).Leader
	all := watchFabric(ctx, t, b)
	allUp(ctx, t, all)
	t.Logf("%d nodes: all see all %v after the last start", len(all), time.Since(started).Round(time.Millisecond))

	for _, kind := range []struct {
		name   string
		signal syscall.Signal
		want   []fabric.State
	}{
		{"hung", syscall.SIGSTOP, []fabric.State{fabric.Hung}},
		// Its kernel may take a last connection while the process ends.
		{"killed", syscall.SIGKILL, []fabric.State{fabric.Dead, fabric.Hung}},
	} {
		var most, everybody times
		for range *fabricFigures {
			victim := all[rand.N(len(all))]
			for victim.node == leader { // whose fulcrum must not pause
				victim = all[rand.N(len(all))]
			}
			pid := lashupOf(ctx, t, victim.node)
			if kind.signal == syscall.SIGKILL {
				// Its fulcrum would have it up again before a busy machine notices.
				sendTo(t, victim.node, syscall.SIGSTOP)
			}
			failed := time.Now()
			if err := syscall.Kill(pid, kind.signal); err != nil {
				t.Fatal(err)
			}
			known := knownBy(ctx, t, all, victim, failed)
			most, everybody = append(most, known.at(0.9)), append(everybody, known.at(1))
			settledAs(ctx, t, all, victim, kind.want)
			calm()
			if kind.signal == syscall.SIGKILL {
				sendTo(t, victim.node, syscall.SIGCONT)
			} else if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			allUp(ctx, t, all)
			calm()
		}
		t.Logf("%s: known to nine in ten: %v; to all: %v", kind.name, most, everybody)
	}
	if *fabricFigures < 10 {
		updates(ctx, t, all, 10)
		return
	}
	updates(ctx, t, all, 1000)
	fill(ctx, t, all, 10_000)
	atRest(t, all)
}

// calm lets some time pass where figures are taken: members that fail and come back
// every second are another thing, as the detector is slower to judge then.
func calm() {
	if *fabricFigures >= 10 {
		<-time.After(5 * time.Second)
	}
}

func sendTo(t *testing.T, n *local.Node, s syscall.Signal) {
	t.Helper()
	if err := n.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// knownBy says after what time each of the others knew that a member is not up.
func knownBy(ctx context.Context, t *testing.T, all []*watcher, victim *watcher, failed time.Time) (known times) {
	t.Helper()
	for _, w := range all {
		if w == victim {
			continue
		}
		eventually(ctx, t, func(context.Context) string {
			state, at := w.state(victim.node.ID)
			if at.Before(failed) {
				return fmt.Sprintf("%s to notice that %s fell silent; it says %v", w.node.Name, victim.node.Name, state)
			}
			return ""
		})
		_, at := w.state(victim.node.ID)
		known = append(known, at.Sub(failed))
	}
	return known
}

// settledAs waits until all others say of a member what it is.
func settledAs(ctx context.Context, t *testing.T, all []*watcher, victim *watcher, want []fabric.State) {
	t.Helper()
	eventually(ctx, t, func(context.Context) string {
		for _, w := range all {
			if state, _ := w.state(victim.node.ID); w != victim && !slices.Contains(want, state) {
				return fmt.Sprintf("%s to say %v of %s, and not %v", w.node.Name, want, victim.node.Name, state)
			}
		}
		return ""
	})
}

// updates writes keys at random nodes, and waits until all nodes have told of all.
func updates(ctx context.Context, t *testing.T, all []*watcher, n int) {
	t.Helper()
	wrote := map[string]time.Time{}
	for i := range n {
		key := []string{"update", strconv.Itoa(i)}
		at := time.Now()
		if err := fabric.NewRegister[int](all[rand.N(len(all))].client, key...).Set(ctx, i); err != nil {
			t.Fatal(err)
		}
		wrote[fabric.FormatKey(key)] = at
	}
	var took times
	for _, w := range all {
		for key, at := range wrote {
			eventually(ctx, t, func(context.Context) string {
				w.mu.Lock()
				defer w.mu.Unlock()
				if w.seen[key].IsZero() {
					return fmt.Sprintf("%s to tell of %s", w.node.Name, key)
				}
				return ""
			})
			w.mu.Lock()
			took = append(took, w.seen[key].Sub(at))
			w.mu.Unlock()
		}
	}
	t.Logf("%d updates from random nodes, all of them told of by all %d: median %v, p99 %v, worst %v", n, len(all),
		took.at(0.5).Round(100*time.Microsecond), took.at(0.99).Round(100*time.Microsecond), took.at(1).Round(100*time.Microsecond))
}

// fill writes many keys at random nodes, several at a time, and waits until all
// nodes have them.
func fill(ctx context.Context, t *testing.T, all []*watcher, n int) {
	t.Helper()
	const writers = 8
	var group sync.WaitGroup
	for k := range writers {
		group.Go(func() {
			for i := k; i < n; i += writers {
				key := []string{"fill", strconv.Itoa(i)}
				if err := fabric.NewRegister[string](all[rand.N(len(all))].client, key...).Set(ctx, "a value of some length"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	for _, w := range all {
		eventually(ctx, t, func(ctx context.Context) string {
			for i := n - writers; i < n; i++ {
				if _, ok, err := fabric.NewRegister[string](w.client, "fill", strconv.Itoa(i)).Get(ctx); err != nil || !ok {
					return fmt.Sprintf("%s to have all of %d keys: %v", w.node.Name, n, err)
				}
			}
			return ""
		})
	}
}

// atRest logs what the lashup processes take when nothing happens.
func atRest(t *testing.T, all []*watcher) {
	t.Helper()
	before := cpuOf(t, all)
	start := time.Now()
	<-time.After(20 * time.Second) // what is measured
	used := cpuOf(t, all) - before
	var rss, anon []int
	for _, w := range all {
		r, a := memoryOf(t, lashupOf(t.Context(), t, w.node))
		rss, anon = append(rss, r), append(anon, a)
	}
	slices.Sort(rss)
	slices.Sort(anon)
	t.Logf("at rest: %.1f%% of a core for %d; resident memory: median %d kB, greatest %d kB, of it private: %d kB, %d kB", 100*used.Seconds()/time.Since(start).Seconds(),
		len(all), rss[len(rss)/2], rss[len(rss)-1], anon[len(anon)/2], anon[len(anon)-1])
}

// cpuOf is how much processor time the lashup processes have taken.
func cpuOf(t *testing.T, all []*watcher) (sum time.Duration) {
	t.Helper()
	for _, w := range all {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", lashupOf(t.Context(), t, w.node)))
		if err != nil {
			t.Fatal(err)
		}
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		for _, ticks := range f[11:13] { // user, system
			n, err := strconv.Atoi(ticks)
			if err != nil {
				t.Fatal(err)
			}
			sum += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return sum
}

// memoryOf gives a process's resident memory and the private part of it, in kB.
func memoryOf(t *testing.T, pid int) (rss, anon int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) == 3 {
			n, _ := strconv.Atoi(f[1]) // 0 for what is no number
			switch f[0] {
			case "VmRSS:":
				rss = n
			case "RssAnon:":
				anon = n
			}
		}
	}
	return rss, anon
}
