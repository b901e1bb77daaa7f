package cast

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fulcrum.example/crux"
)

func TestAMessageReachesEverybodyOverTheTree(t *testing.T) {
	const n = 200
	for _, codec := range []bool{false, true} {
		w := newWorld(t, n, 1, randomEdges(1, n))
		w.codec = codec
		id := w.publishFrom(7, strings.Repeat("x", 400), Options{})
		w.run(20 * ms)
		w.everybodyBut(id, 7)
		if got := w.count["*cast.Push"]; got != n-1 {
			t.Errorf("%d copies were sent to %d nodes", got, n-1)
		}
		w.run(20 * time.Second)
		w.everybodyBut(id, 7)
		if got := w.count["*cast.Push"]; got != n-1 {
			t.Errorf("%d copies were sent in the end", got)
		}
		t.Logf("%v messages, %v bytes: a payload of 400 costs each node %d", w.count, w.bytes, (w.bytes["*cast.Push"]+w.bytes["*cast.IHave"])/n)
		if over := w.bytes["*cast.IHave"] / n; over > 100 {
			t.Errorf("announcements cost %d bytes a node", over)
		}
	}
}

func TestManyMessagesAreAnnouncedTogether(t *testing.T) {
	const n = 60
	w := newWorld(t, n, 2, randomEdges(2, n))
	for i := range 200 {
		w.publishFrom(i%5, "a small one", Options{})
	}
	w.run(time.Second)
	for i, p := range w.peers {
		want := 200
		if i < 5 {
			want = 160
		}
		if len(p.all) != want {
			t.Errorf("node %d got %d", i, len(p.all))
		}
	}
	each := w.bytes["*cast.IHave"] / n / 200
	t.Logf("%v messages, %v bytes: %d bytes of announcements a message and node", w.count, w.bytes, each)
	if each > 20 {
		t.Errorf("announcements cost %d bytes a message and node", each)
	}
}

func TestDeliveryTellsWhatWasSent(t *testing.T) {
	w := newWorld(t, 4, 3, line(4))
	w.codec = true
	long := strings.Repeat("compressible ", 1000)
	for _, c := range []struct {
		name    string
		payload string
		o       Options
		want    map[int][]crux.NodeID // receivers, and the route of each
	}{
		{"plain", "hello", Options{}, map[int][]crux.NodeID{1: nil, 2: nil, 3: nil}},
		{"empty", "", Options{}, map[int][]crux.NodeID{1: nil, 2: nil, 3: nil}},
		{"route", "x", Options{RecordRoute: true}, map[int][]crux.NodeID{1: nodes(0, 1), 2: nodes(0, 1, 2), 3: nodes(0, 1, 2, 3)}},
		{"loop", "x", Options{Loop: true, RecordRoute: true}, map[int][]crux.NodeID{0: nodes(0), 1: nodes(0, 1), 2: nodes(0, 1, 2), 3: nodes(0, 1, 2, 3)}},
		{"compressed", long, Options{Compress: true, Loop: true}, map[int][]crux.NodeID{0: nil, 1: nil, 2: nil, 3: nil}},
		{"short and compressed", "x", Options{Compress: true}, map[int][]crux.NodeID{1: nil, 2: nil, 3: nil}},
		{"two hops", "x", Options{TTL: 2}, map[int][]crux.NodeID{1: nil, 2: nil}},
		{"one hop", "x", Options{TTL: 1}, map[int][]crux.NodeID{1: nil}},
		{"only 3", "x", Options{Only: nodes(3)}, map[int][]crux.NodeID{3: nil}},
		{"only 1, 3 and a stranger", "x", Options{Only: nodes(3, 1, 77, 3)}, map[int][]crux.NodeID{1: nil, 3: nil}},
		{"only the sender", "x", Options{Only: nodes(0), Loop: true}, map[int][]crux.NodeID{0: nil}},
		{"fanout", "x", Options{Fanout: 3}, map[int][]crux.NodeID{1: nil, 2: nil, 3: nil}},
	} {
		w.forget()
		id := w.publishFrom(0, c.payload, c.o)
		w.run(11 * time.Second)
		for i, p := range w.peers {
			route, ok := c.want[i]
			if ok != (len(p.all) == 1) {
				t.Errorf("%s: node %d got %d messages", c.name, i, len(p.all))
				continue
			}
			if !ok {
				continue
			}
			d := p.all[0]
			if d.ID != id || d.Topic != "news" || string(d.Payload) != c.payload || !slices.Equal(d.Route, route) {
				t.Errorf("%s: node %d got %v of %q by %v", c.name, i, d.ID, d.Topic, d.Route)
			}
		}
		if c.name == "compressed" && w.bytes["*cast.Push"] > 3*1000 {
			t.Errorf("compressed, %d bytes are %d on three links", len(c.payload), w.bytes["*cast.Push"])
		}
	}
}

func TestFanoutSendsOverSeveralTrees(t *testing.T) {
	const n = 100
	w := newWorld(t, n, 4, randomEdges(4, n))
	w.codec = true
	id := w.publishFrom(0, "important", Options{Fanout: 3})
	w.run(time.Second)
	w.everybodyBut(id, 0)
	got := w.count["*cast.Push"]
	t.Logf("%d copies for %d nodes", got, n-1)
	if got <= n*3/2 || got > 3*(n-1) {
		t.Errorf("%d copies", got)
	}
}

func TestOnlyThoseOnTheWaySeeAMessageForAFew(t *testing.T) {
	const n = 100
	w := newWorld(t, n, 5, randomEdges(5, n))
	tree := w.peers[0].t.Tree(node(0))
	only := nodes(17, 44)
	id := w.publishFrom(0, "for two", Options{Only: only})
	w.run(time.Second)
	if who, _ := w.reached(id); !slices.Equal(who, []int{17, 44}) {
		t.Errorf("it was delivered at %v", who)
	}
	if got, want := w.count["*cast.Push"], tree.Prune(only).Reachable()-1; got != want {
		t.Errorf("%d copies, not %d", got, want)
	}
}

func TestThePublishedIsWithinBounds(t *testing.T) {
	w := newWorld(t, 2, 6, line(2))
	for _, c := range []struct {
		name string
		req  Request
		want crux.Kind
	}{
		{"no topic", Request{}, crux.Invalid},
		{"a long topic", Request{Topic: strings.Repeat("t", MaxTopic+1)}, crux.Invalid},
		{"a large payload", Request{Topic: "t", Payload: make([]byte, MaxPayload+1)}, crux.Exhausted},
		{"a fanout of nine", Request{Topic: "t", Options: Options{Fanout: MaxFanout + 1}}, crux.Invalid},
		{"a negative fanout", Request{Topic: "t", Options: Options{Fanout: -1}}, crux.Invalid},
		{"a long life", Request{Topic: "t", Options: Options{TTL: MaxTTL + 1}}, crux.Invalid},
		{"a negative life", Request{Topic: "t", Options: Options{TTL: -1}}, crux.Invalid},
		{"many receivers", Request{Topic: "t", Options: Options{Only: make([]crux.NodeID, MaxOnly+1)}}, crux.Exhausted},
	} {
		p := w.peers[0]
		_, r, err := p.c.Publish(w.now, c.req)
		if crux.KindOf(err) != c.want || err == nil || len(r.Sends) > 0 || p.c.Seq() != 0 {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	w.codec = true
	id := w.publishFrom(0, strings.Repeat("x", MaxPayload), Options{Only: nodes(1), RecordRoute: true})
	w.run(time.Second)
	w.everybodyBut(id, 0)
}

func TestOverloadIsAnExplicitError(t *testing.T) {
	w := newWorld(t, 3, 7, line(3))
	p := w.peers[1]
	payload := make([]byte, 1<<20)
	var err error
	sent := 0
	for ; err == nil && sent < 100; sent++ {
		_, _, err = p.c.Publish(w.now, Request{Topic: "t", Payload: payload})
	}
	if crux.KindOf(err) != crux.Exhausted || sent > 10 {
		t.Fatalf("after %d: %v", sent, err)
	}
	if _, _, err := p.c.Publish(w.now+time.Second, Request{Topic: "t", Payload: payload}); err != nil {
		t.Errorf("a second later: %v", err)
	}
	w.run(2 * time.Second)
	p.room = func(crux.NodeID) int { return 100 }
	if _, _, err := p.c.Publish(w.now, Request{Topic: "t", Payload: payload}); crux.KindOf(err) != crux.Exhausted {
		t.Errorf("with full queues: %v", err)
	}
	p.room = nil
	w.publishFrom(1, "again", Options{})
}

func TestAFullQueueIsServedLater(t *testing.T) {
	w := newWorld(t, 3, 8, [][2]int{{0, 1}, {0, 2}, {1, 2}})
	p := w.peers[0]
	p.room = func(id crux.NodeID) int {
		if id == node(2) {
			return 10
		}
		return 1 << 20
	}
	id := w.publishFrom(0, strings.Repeat("x", 1000), Options{})
	w.run(10 * ms)
	w.everybodyBut(id, 0, 2)
	w.run(time.Second)
	w.everybodyBut(id, 0)
	if p.c.Stats().Held != 1 {
		t.Errorf("%+v", p.c.Stats())
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	w := newWorld(t, 2, 9, line(2))
	w.params.Store = 100 << 10
	for _, p := range []*peer{w.add(0, 2), w.add(1, 2)} {
		p.links[node(1-p.i)] = true
	}
	w.share()
	for _, p := range w.peers {
		p.done(p.c.Neighbours(w.now, p.neighbours()))
	}
	for range 500 {
		w.publishFrom(0, strings.Repeat("x", 1000), Options{})
		w.run(ms)
		for _, p := range w.peers {
			if p.c.bytes > w.params.Store || len(p.c.store) != len(p.c.order) {
				t.Fatalf("%d bytes are kept, %d and %d messages", p.c.bytes, len(p.c.store), len(p.c.order))
			}
		}
	}
	w.run(time.Second)
	if len(w.peers[1].all) != 500 || w.peers[0].c.Stats().Evicted == 0 {
		t.Errorf("%d arrived; %+v", len(w.peers[1].all), w.peers[0].c.Stats())
	}
	w.run(w.params.Keep)
	for _, p := range w.peers {
		if len(p.c.store)+len(p.c.order)+len(p.c.missing)+len(p.c.waits)+p.c.bytes > 0 {
			t.Errorf("node %d keeps %d messages when it is over", p.i, len(p.c.store))
		}
		if p.c.NextTick() != never {
			t.Errorf("node %d wakes at %v", p.i, p.c.NextTick())
		}
	}
}

func TestAnIdleCastSendsNothing(t *testing.T) {
	w := newWorld(t, 20, 10, randomEdges(10, 20))
	w.run(time.Hour)
	if len(w.count) > 0 {
		t.Errorf("%v", w.count)
	}
}

func TestTheSameSeedGivesTheSameRun(t *testing.T) {
	run := func() string {
		w := newWorld(t, 60, 11, randomEdges(11, 60))
		w.loss = 0.2
		for i := range 50 {
			w.publishFrom(i, "x", Options{Fanout: 1 + i%3})
			w.run(ms)
		}
		w.run(5 * time.Second)
		return fmt.Sprint(w.net.Events(), w.bytes, w.count)
	}
	if a, b := run(), run(); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}
