package lashup

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/fabric"
	"fulcrum.example/lashup/crdt"
	"fulcrum.example/lashup/node"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/route"
)

// must fails the test for an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHandlesOfEveryTypeWriteAndRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.client(), soon(t)

	calls := c.Counter("calls", "web")
	must(t, calls.Incr(ctx, 5))
	must(t, calls.Incr(ctx, -2))
	if n, err := calls.Value(ctx); n != 3 || err != nil {
		t.Errorf("counter %d, %v", n, err)
	}
	for _, set := range []fabric.Set{c.Set("s", "add"), c.RemoveWinsSet("s", "remove")} {
		must(t, set.Add(ctx, "b", "a", "c"))
		must(t, set.Remove(ctx, "b", "absent"))
		if got, err := set.Elements(ctx); !slices.Equal(got, []string{"a", "c"}) || err != nil {
			t.Errorf("set %q, %v", got, err)
		}
	}
	for _, flag := range []fabric.Flag{c.Flag("f", "enable"), c.DisableWinsFlag("f", "disable")} {
		must(t, flag.Turn(ctx, true))
		if on, err := flag.On(ctx); !on || err != nil {
			t.Errorf("flag %v, %v", on, err)
		}
		must(t, flag.Turn(ctx, false))
		if on, err := flag.On(ctx); on || err != nil {
			t.Errorf("flag %v, %v", on, err)
		}
	}
	limit := fabric.NewRegister[int](c, "config", "limit")
	if _, ok, err := limit.Get(ctx); ok || err != nil {
		t.Errorf("an absent register: %v, %v", ok, err)
	}
	must(t, limit.Set(ctx, 100))
	if v, ok, err := limit.Get(ctx); v != 100 || !ok || err != nil {
		t.Errorf("register %v, %v, %v", v, ok, err)
	}
	if _, _, err := fabric.NewRegister[[]string](c, "config", "limit").Get(ctx); crux.KindOf(err) != crux.Corrupt {
		t.Errorf("a register of another type: %v", err)
	}
	multi := fabric.NewMultiRegister[string](c, "config", "name")
	must(t, multi.Set(ctx, "x"))
	if v, err := multi.Get(ctx); !slices.Equal(v, []string{"x"}) || err != nil {
		t.Errorf("multi-value register %v, %v", v, err)
	}
}

func TestMapsComposeToAnyDepth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.client(), soon(t)
	m := c.Map("backends")
	must(t, m.Map("web").Set("addresses").Add(ctx, "10.0.0.7:80"))
	must(t, m.Counter("web", "calls").Incr(ctx, 2))
	must(t, m.Flag("web", "drained").Turn(ctx, true))
	must(t, fabric.NewRegister[string](m, "web", "calls").Set(ctx, "many")) // another field of that name
	v, err := m.Value(ctx)
	must(t, err)
	want := map[string]any{"web": map[string]any{"addresses": []any{"10.0.0.7:80"}, "calls:counter": int64(2), "calls:register": "many", "drained": true}}
	if got := v.Any(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	must(t, m.Map("web").Counter("calls").Delete(ctx))
	if n, err := m.Counter("web", "calls").Value(ctx); n != 0 || err != nil {
		t.Errorf("a deleted field: %d, %v", n, err)
	}
	must(t, m.Delete(ctx))
	must(t, m.Delete(ctx))
	if r, err := c.Read(ctx, "backends"); r.Value != nil || err != nil {
		t.Errorf("a deleted key: %v, %v", r.Value, err)
	}
}

func TestUpdatesAreAppliedTogetherOrNotAtAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.client(), soon(t)
	before, err := c.Read(ctx, "a")
	must(t, err)
	_, err = c.Apply(ctx, c.Counter("a").Incrementing(1), c.Set("b").Adding("x"))
	must(t, err)
	_, err = c.Apply(ctx, c.Counter("c").Incrementing(1), c.Counter("a").Incrementing(1).If(before))
	if crux.KindOf(err) != crux.Conflict {
		t.Errorf("a stale condition: %v", err)
	}
	if n, err := c.Counter("c").Value(ctx); n != 0 || err != nil {
		t.Errorf("half of a refused write was applied: %d, %v", n, err)
	}
	now, err := c.Read(ctx, "a")
	must(t, err)
	if _, err = c.Apply(ctx, c.Counter("a").Incrementing(1).If(now)); err != nil {
		t.Errorf("a fresh condition: %v", err)
	}
}

func TestWritesThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.client(), soon(t)
	must(t, c.Counter("n").Incr(ctx, 1))
	_, nothing := c.Apply(ctx)
	elsewhere, err := fabric.Dial(withID{w.node(1, "client"), w.all[0].ID})
	must(t, err)
	defer elsewhere.Close()
	for name, x := range map[string]struct {
		err  error
		kind crux.Kind
	}{
		"another type":           {c.Set("n").Add(ctx, "x"), crux.Invalid},
		"no elements":            {c.Set("s").Add(ctx), crux.Invalid},
		"too large":              {fabric.NewRegister[string](c, "big").Set(ctx, strings.Repeat("x", 1<<20)), crux.Exhausted},
		"nothing":                {nothing, crux.Invalid},
		"this node's, from afar": {elsewhere.Counter(c.Own("x")...).Incr(ctx, 1), crux.Denied},
	} {
		if crux.KindOf(x.err) != x.kind {
			t.Errorf("%s: %v is %v, want %v", name, x.err, crux.KindOf(x.err), x.kind)
		}
	}
	must(t, c.Counter(c.Own("x")...).Incr(ctx, 1))
	must(t, elsewhere.Counter("shared").Incr(ctx, 1))
}

// withID is a node that takes itself for another, to reach that one's lashup.
type withID struct {
	crux.Node
	id crux.NodeID
}

func (n withID) ID() crux.NodeID { return n.id }

func TestScanGivesWhatAPatternSelects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.client(), soon(t)
	for _, k := range []string{"a/1", "a/2", "a/2/x", "b/1"} {
		must(t, c.Counter(strings.Split(k, "/")...).Incr(ctx, 1))
	}
	must(t, c.Delete(ctx, "b", "1"))
	for text, want := range map[string]string{"**": "a/1 a/2 a/2/x", "a/*": "a/1 a/2", "a/2/**": "a/2 a/2/x", "b/*": "", "?/[12]": "a/1 a/2"} {
		p, err := fabric.ParsePattern(text)
		must(t, err)
		var got []string
		for e, err := range c.Scan(ctx, p, fabric.ScanOptions{}) {
			must(t, err)
			got = append(got, fabric.FormatKey(e.Key))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s selects %q, want %q", text, got, want)
		}
	}
	n := 0
	for e, err := range c.Scan(ctx, fabric.Prefix(), fabric.ScanOptions{KeysOnly: true, Limit: 2}) {
		must(t, err)
		if n++; e.Value != nil {
			t.Error("a value came")
		}
	}
	if n != 2 {
		t.Errorf("%d keys, want 2", n)
	}
}

// follower collects the events of a watch.
type follower struct {
	mu     sync.Mutex
	events []string
	err    error
	done   chan struct{}
}

func follow(ctx context.Context, c *fabric.Client, p fabric.Pattern) *follower {
	f := &follower{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for e, err := range c.Watch(ctx, p) {
			f.mu.Lock()
			if err != nil {
				f.err = err
			} else {
				f.events = append(f.events, eventText(e))
			}
			f.mu.Unlock()
		}
	}()
	return f
}

func eventText(e fabric.Event) string {
	old := e.Old.String()
	if e.OldUnknown {
		old = "?"
	}
	switch e.Kind {
	case fabric.Existing:
		return fmt.Sprintf("%s=%s", fabric.FormatKey(e.Key), e.New)
	case fabric.Synced:
		return "synced"
	}
	return fmt.Sprintf("%s:%s>%s", fabric.FormatKey(e.Key), old, e.New)
}

func (f *follower) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.events, " ")
}

func (f *follower) sees(t *testing.T, want string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("seen: %s, %v", f.text(), f.err)
		}
	}()
	eventually(t, want, func() bool { return f.text() == want })
}

func TestWatchGivesWhatExistsAndThenEachChangeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client()
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	must(t, c.Counter("a", "n").Incr(ctx, 1))
	must(t, c.Counter("b").Incr(ctx, 1))
	f := follow(ctx, c, fabric.Prefix("a"))
	f.sees(t, "a/n=1 synced")
	must(t, c.Counter("a", "n").Incr(ctx, 1))
	must(t, c.Counter("b").Incr(ctx, 1))
	must(t, c.Delete(ctx, "a", "n"))
	f.sees(t, "a/n=1 synced a/n:1>2 a/n:2>nothing")
	cancel()
	<-f.done
	if crux.KindOf(f.err) != crux.Canceled {
		t.Errorf("it ends with %v", f.err)
	}
	eventually(t, "the watcher to be gone", func() bool {
		s, err := w.store.Stats(t.Context())
		return err == nil && s.Watches == 0
	})
}

func TestWatchGoesOnThroughAHandover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.client(), soon(t)
	must(t, c.Counter("x").Incr(ctx, 1))
	must(t, c.Counter("y").Incr(ctx, 1))
	f := follow(ctx, c, fabric.Prefix())
	f.sees(t, "x=1 y=1 synced")
	must(t, w.api.gate.close(ctx))
	saved, err := w.api.requests.save()
	must(t, err)
	r, err := loadRequests(7, saved)
	must(t, err)
	state, err := w.store.Freeze(ctx)
	must(t, err)
	w.store = w.disk.open(t, w.all[0].ID, 7, state)
	// What is written meanwhile comes as a change from what was given last.
	wrote := make(chan error, 1)
	go func() { wrote <- c.Counter("x").Incr(ctx, 1) }()
	w.serve("lashup1_1", 7, r)
	must(t, <-wrote)
	must(t, c.Counter("y").Incr(ctx, 1))
	eventually(t, "both changes", func() bool { return strings.Count(f.text(), ">2") == 2 })
	if s := f.text(); strings.Count(s, "=") != 2 || strings.Count(s, "synced") != 1 {
		t.Errorf("something came twice: %s", s)
	}
}

func TestWatchGoesOnAfterARestartThatRemembersNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.client(), soon(t)
	for _, k := range []string{"changed", "deleted", "same"} {
		must(t, c.Counter(k).Incr(ctx, 1))
	}
	f := follow(ctx, c, fabric.Prefix())
	f.sees(t, "changed=1 deleted=1 same=1 synced")
	must(t, w.store.Close())
	w.store = w.disk.open(t, w.all[0].ID, 8, nil)
	w.serve("lashup1_0", 8, newRequests(8))
	sameAgain := f.text()
	must(t, c.Counter("new").Incr(ctx, 1))
	f.sees(t, sameAgain+" new:nothing>1")
	// What happened while nobody watched.
	must(t, w.store.Close())
	w.store = w.disk.open(t, w.all[0].ID, 9, nil)
	quiet := w.store
	for _, x := range []replica.Write{{Key: []string{"changed"}, Op: crdt.Incr(1)}, {Key: []string{"deleted"}, Op: crdt.Reset()}} {
		_, err := quiet.Write(ctx, []replica.Write{x})
		must(t, err)
	}
	w.serve("lashup1_0", 9, newRequests(9))
	f.sees(t, sameAgain+" new:nothing>1 changed:?>2 deleted:?>nothing")
}

func TestASlowWatcherFallsBehindAndResumes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.store.Close())
	w.disk.limits.WatchEvents = 3
	w.store = w.disk.open(t, w.all[0].ID, 8, nil)
	w.serve("lashup1_0", 8, newRequests(8))
	c, ctx := w.client(), soon(t)
	next := make(chan fabric.Event)
	resume := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(next)
		for e, err := range c.Watch(ctx, fabric.Glob("n")) {
			if err != nil {
				return
			}
			if e.Kind == fabric.Synced {
				<-resume
			}
			select {
			case next <- e:
			case <-ctx.Done():
			}
		}
	}()
	// The first events fill what gRPC has in flight; the rest overflows.
	big := fabric.NewRegister[string](c, "n")
	text := strings.Repeat("x", 200_000)
	for i := range 20 {
		must(t, big.Set(ctx, fmt.Sprint(i)+text))
	}
	close(resume)
	last := ""
	for e := range next {
		if e.Kind == fabric.Changed {
			last, _, _ = strings.Cut(string(e.New.Bytes), "x")
		}
		if last == "19" {
			cancel()
		}
	}
	if last != "19" {
		t.Errorf("the last that came is %q", last)
	}
}

func TestAWriteDuringAHandoverWaitsForTheSuccessor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.client(), soon(t)
	must(t, c.Counter("n").Incr(ctx, 1))
	must(t, w.api.gate.close(ctx))
	if n, err := c.Counter("n").Value(ctx); n != 1 || err != nil {
		t.Errorf("reads are not answered: %d, %v", n, err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- c.Counter("n").Incr(ctx, 1) }()
	select {
	case err := <-wrote:
		t.Fatalf("the write ended while the gate was shut: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	w.api.gate.reopen()
	must(t, <-wrote)
	if n, err := c.Counter("n").Value(ctx); n != 2 || err != nil {
		t.Errorf("counter %d, %v", n, err)
	}
}

func TestMembersTreesAndChecks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client()
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	a, b, x := w.all[0].ID, w.all[1].ID, crux.NodeID{9}
	up := func(id crux.NodeID, d int) node.Member {
		return node.Member{ID: id, State: route.Up, Distance: d, Since: time.Unix(1, 0), Addr: w.all[0].Addr, SeenBy: []crux.NodeID{a}}
	}
	set := func(isolated bool, list ...node.Member) { w.net.set(&node.View{Members: list, Isolated: isolated}) }
	set(false, up(a, 0), up(b, 1))
	w.net.trees = map[crux.NodeID][]node.Branch{a: {{ID: a}, {ID: b, Parent: a, Distance: 1}, {ID: x, Distance: route.Infinity}}}

	all, err := c.Members(ctx)
	must(t, err)
	if len(all.List) != 2 || all.Self != a || all.List[0].State != fabric.Up {
		t.Errorf("members %+v", all)
	}
	events := make(chan fabric.MembersEvent)
	go func() {
		defer close(events)
		for e, err := range c.WatchMembers(ctx) {
			if err != nil {
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
			}
		}
	}()
	if e := <-events; len(e.List) != 2 {
		t.Errorf("first %+v", e)
	}
	dead := up(b, -1)
	dead.State, dead.Why = route.Down, route.Dead
	set(true, up(a, 0), dead)
	if e := <-events; len(e.List) != 1 || e.List[0].State != fabric.Dead || e.List[0].Distance != fabric.Infinity || !e.Isolated {
		t.Errorf("then %+v", e)
	}
	set(false, up(a, 0))
	if e := <-events; len(e.List) != 0 || !slices.Equal(e.Forgotten, []crux.NodeID{b}) {
		t.Errorf("then %+v", e)
	}
	set(false, up(a, 0), dead)
	<-events
	w.serve("lashup1_1", 7, newRequests(7)) // the watch goes on; nothing comes twice
	set(false, up(a, 0), up(b, 1))
	if e := <-events; len(e.List) != 1 || e.List[0].State != fabric.Up {
		t.Errorf("after a replacement %+v", e)
	}
	cancel()
	for range events {
	}

	ctx = soon(t)
	tree, err := c.Tree(ctx, crux.NodeID{})
	if must(t, err); len(tree) != 3 || tree[1] != (fabric.TreeNode{Node: b, Parent: a, Distance: 1}) || tree[2].Distance != fabric.Infinity {
		t.Errorf("tree %+v", tree)
	}
	path, err := c.Path(ctx, a, b)
	if must(t, err); !slices.Equal(path, []crux.NodeID{a, b}) {
		t.Errorf("path %v", path)
	}
	if path, err = c.Path(ctx, a, x); path != nil || err != nil {
		t.Errorf("path to what is out of reach: %v, %v", path, err)
	}
	if _, err = c.Path(ctx, a, crux.NodeID{8}); crux.KindOf(err) != crux.NotFound {
		t.Errorf("path to a stranger: %v", err)
	}
	r, err := c.Check(ctx, b)
	if must(t, err); r.State != fabric.Up || r.RTT != time.Millisecond || r.By != a {
		t.Errorf("check %+v", r)
	}
	if _, err := c.Check(ctx, x); crux.KindOf(err) != crux.NotFound {
		t.Errorf("check of a stranger: %v", err)
	}
	s, err := c.Stats(ctx)
	if must(t, err); s.Inst != "lashup1_1" || s.Epoch != 7 || s.Counts["fabric.neighbours"] != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestListenersHearTheirTopicsAndNothingOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.client(), soon(t)
	send := func(topic, text string) {
		t.Helper()
		_, err := c.Send(ctx, topic, []byte(text), fabric.SendOptions{Loop: true, RecordRoute: true, Fanout: 2, TTL: 3, Only: []crux.NodeID{w.all[1].ID}})
		must(t, err)
	}
	send("news", "old")
	s, err := c.Subscribe(ctx, "news", "weather")
	must(t, err)
	defer s.Close()
	send("sports", "other")
	send("news", "one")
	send("weather", "two")
	heard := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		for m, err := range s.Messages() {
			if err != nil {
				ended <- err
				return
			}
			heard <- fmt.Sprintf("%s:%s:%d:%v:%v", m.Topic, m.Payload, m.ID.Number, len(m.Route), m.Gap)
		}
	}()
	got := []string{<-heard, <-heard}
	w.serve("lashup1_1", 7, newRequests(7))
	eventually(t, "the listener to be back", func() bool { return w.api.hub.len() == 1 })
	send("news", "three")
	got = append(got, <-heard)
	s.Close()
	if err := <-ended; crux.KindOf(err) != crux.Canceled {
		t.Errorf("it ends with %v", err)
	}
	want := []string{"news:one:3:1:false", "weather:two:4:1:false", "news:three:5:1:true"}
	if !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
	if o := w.net.sent[0].Options; !o.Loop || o.Fanout != 2 || o.TTL != 3 || len(o.Only) != 1 {
		t.Errorf("sent with %+v", o)
	}
	for _, topic := range []string{"", "lashup/kv", strings.Repeat("x", 129)} {
		if _, err := c.Send(ctx, topic, nil, fabric.SendOptions{}); crux.KindOf(err) != crux.Invalid {
			t.Errorf("topic %q: %v", topic, err)
		}
		if _, err := c.Subscribe(ctx, topic); crux.KindOf(err) != crux.Invalid {
			t.Errorf("topic %q: %v", topic, err)
		}
	}
	if _, err := c.Send(ctx, "news", make([]byte, maxPayload+1), fabric.SendOptions{}); crux.KindOf(err) != crux.Exhausted {
		t.Errorf("a long payload: %v", err)
	}
}
