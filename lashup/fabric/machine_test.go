package fabric

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/overlay"
	"fulcrum.example/lashup/route"
)

func TestNodesBecomeOneOverlay(t *testing.T) {
	b := joined(t, 8)
	for _, nd := range b.nodes {
		if len(nd.m.Neighbours()) == 0 || !slices.Equal(nd.m.Neighbours(), nd.m.Own().Edges) {
			t.Errorf("%v has neighbours %v, and publishes %v", nd.m.id, nd.m.Neighbours(), nd.m.Own().Edges)
		}
		for _, p := range nd.m.Neighbours() {
			if !slices.Contains(b.node(p).m.Neighbours(), nd.m.id) {
				t.Errorf("%v is a neighbour of %v, but not the other way", p, nd.m.id)
			}
		}
		if s := nd.m.Status(); s.Up != 8 || s.Down != 0 || s.Members != 8 || s.Masters != 1 || s.MastersUp != 1 || s.Isolated {
			t.Errorf("%v: %+v", nd.m.id, s)
		}
		if nd.saves == 0 || len(nd.m.Saved()) < len(nd.m.Neighbours()) {
			t.Errorf("%v has asked %d times to save %v", nd.m.id, nd.saves, nd.m.Saved())
		}
	}
}

// A link that breaks between two healthy nodes is made anew; nothing is published
// and nobody is down.
func TestABrokenLinkIsMadeAnew(t *testing.T) {
	for _, both := range []bool{true, false} {
		b := joined(t, 4)
		x := b.nodes[0]
		y := b.node(x.m.Neighbours()[0])
		clocks := []uint64{x.m.Clock(), y.m.Clock()}
		events := len(x.events) + len(y.events)
		b.cut(x, y, true, both)
		b.run(3 * time.Second)
		if !b.links[pair(x, y)] || x.m.stats.Mended+y.m.stats.Mended == 0 {
			t.Errorf("both told %v: the link is up: %v, %+v, %+v", both, b.links[pair(x, y)], x.m.stats, y.m.stats)
		}
		if x.m.Clock() != clocks[0] || y.m.Clock() != clocks[1] || len(x.events)+len(y.events) != events {
			t.Errorf("both told %v: clocks %d and %d, were %v", both, x.m.Clock(), y.m.Clock(), clocks)
		}
		if !slices.Contains(x.m.Neighbours(), y.m.id) || !slices.Contains(y.m.Neighbours(), x.m.id) {
			t.Errorf("both told %v: no neighbours any more", both)
		}
	}
}

func TestASilentHostIsCutOff(t *testing.T) {
	b := joined(t, 8)
	dead := b.nodes[7]
	neighbours := slices.Clone(dead.m.Neighbours())
	b.mute[7] = true
	b.run(time.Second)
	for _, nd := range b.nodes[:7] {
		if s, why := nd.m.State(dead.m.id); s != route.Down || why != route.Dead {
			t.Errorf("at %v it is %v, %v", nd.m.id, s, why)
		}
		if slices.Contains(nd.m.Neighbours(), dead.m.id) {
			t.Errorf("%v still has it as a neighbour", nd.m.id)
		}
		why, ok := nd.m.Own().CutOf(dead.m.id)
		if was := slices.Contains(neighbours, nd.m.id); was != ok || ok && why != route.Dead {
			t.Errorf("%v, a neighbour: %v, publishes %v, %v", nd.m.id, was, ok, why)
		}
	}
	b.mute[7] = false
	b.run(20 * time.Second)
	for _, nd := range b.nodes {
		for _, o := range b.nodes {
			if s, _ := nd.m.State(o.m.id); s != route.Up {
				t.Errorf("20 s after it can be heard again, %v is %v at %v", o.m.id, s, nd.m.id)
			}
		}
		if len(nd.m.Own().Cuts) > 0 {
			t.Errorf("%v still holds %v against others", nd.m.id, nd.m.Own().Cuts)
		}
	}
}

// news is what a neighbour would flood of a node.
func news(as ...*route.Adjacency) *route.News {
	n := &route.News{}
	for _, a := range as {
		a.Normalize()
		n.Items = append(n.Items, route.Item{Adjacency: a})
	}
	return n
}

// with copies an adjacency with another clock.
func with(a *route.Adjacency, clock uint64, cuts ...route.Cut) *route.Adjacency {
	return &route.Adjacency{Node: a.Node, Epoch: a.Epoch, Clock: clock, Edges: a.Edges, Cuts: cuts, Card: a.Card}
}

func TestTheAccusedRefutes(t *testing.T) {
	b := joined(t, 4)
	x := b.nodes[0]
	y := b.node(x.m.Neighbours()[0])
	clock := x.m.Clock()
	x.since()
	b.apply(x, x.m.Frame(b.now, y.m.id, news(with(y.m.Own(), y.m.Clock()+1, route.Cut{Node: x.m.id, Why: route.Hung}))))
	if x.m.Clock() <= clock || x.m.stats.Accused != 1 {
		t.Errorf("accused: clock %d, was %d; %+v", x.m.Clock(), clock, x.m.stats)
	}
	pings := 0
	for _, d := range x.since().Datagrams {
		if _, ok := d.Msg.(*detect.Ping); ok && d.To == y.m.id {
			pings++
		}
	}
	if pings == 0 {
		t.Error("the accuser is not pinged")
	}
}

// What one neighbour says of another leads to a check, not to belief.
func TestAnAccusationIsChecked(t *testing.T) {
	b := joined(t, 3)
	x, y, z := b.nodes[0], b.nodes[1], b.nodes[2]
	x.since()
	lie := with(y.m.Own(), y.m.Clock()+1, route.Cut{Node: z.m.id, Why: route.Dead})
	lie.Edges = []crux.NodeID{x.m.id}
	b.apply(x, x.m.Frame(b.now, y.m.id, news(lie)))
	if !slices.ContainsFunc(x.since().Datagrams, func(d Datagram) bool { return d.To == z.m.id }) {
		t.Error("the accused is not asked")
	}
	b.run(2 * time.Second)
	if s, _ := x.m.State(z.m.id); s != route.Up || !slices.Contains(x.m.Neighbours(), z.m.id) {
		t.Errorf("the accused is %v", s)
	}
}

func TestWhoLeavesSaysSoFirst(t *testing.T) {
	b := joined(t, 6)
	x := b.nodes[5]
	neighbours := x.m.Neighbours()
	x.since()
	b.apply(x, x.m.Leave(b.now))
	out := x.since()
	told := map[crux.NodeID]bool{}
	for _, f := range out.Frames {
		if n, ok := f.Msg.(*route.News); ok && n.Items[0].Adjacency.Leaving {
			told[f.To] = true
		}
		if _, ok := f.Msg.(*overlay.Disconnect); ok && !told[f.To] {
			t.Errorf("%v is told to disconnect before it knows why", f.To)
		}
	}
	if len(told) != len(neighbours) {
		t.Errorf("%d of %d neighbours are told", len(told), len(neighbours))
	}
	b.run(100 * ms)
	b.mute[5] = true
	b.run(2 * time.Second)
	for _, nd := range b.nodes[:5] {
		if s, why := nd.m.State(x.m.id); s != route.Down || why != route.Left || len(nd.m.Own().Cuts) > 0 {
			t.Errorf("at %v it is %v, %v; cuts %v", nd.m.id, s, why, nd.m.Own().Cuts)
		}
	}
}

func TestTheEvictedAreForgotten(t *testing.T) {
	b := joined(t, 6)
	x := b.nodes[5]
	list := b.members(5)
	for _, nd := range b.nodes[:5] {
		b.apply(nd, nd.m.Members(b.now, list))
	}
	b.run(10 * time.Second)
	for _, nd := range b.nodes[:5] {
		if s, _ := nd.m.State(x.m.id); s != route.Unknown || slices.Contains(nd.m.Neighbours(), x.m.id) || nd.m.Card(x.m.id) != nil {
			t.Errorf("at %v it is %v", nd.m.id, s)
		}
	}
	list = b.members(6)
	for _, nd := range b.nodes[:5] {
		b.apply(nd, nd.m.Members(b.now, list))
	}
	b.run(40 * time.Second)
	if s, _ := b.nodes[0].m.State(x.m.id); s != route.Up {
		t.Errorf("a member again, it is %v", s)
	}
}

// An adjacency of this node that is newer than its own comes from before it lost
// its files, or from a process that took its place.
func TestANodeAheadOfItself(t *testing.T) {
	b := joined(t, 3)
	x := b.nodes[0]
	y := x.m.Neighbours()[0]
	b.apply(x, x.m.Frame(b.now, y, news(with(x.m.Own(), 1000))))
	if x.m.Clock() <= 1000 || x.super != 0 {
		t.Errorf("same epoch: clock %d, superseded %d", x.m.Clock(), x.super)
	}
	other := with(x.m.Own(), 1)
	other.Epoch = 9
	other.Card = &route.Card{Node: x.m.id, Epoch: 9}
	b.apply(x, x.m.Frame(b.now, y, news(other)))
	if x.super != 9 {
		t.Errorf("a newer epoch: superseded by %d", x.super)
	}
}

func TestChecksAreAnswered(t *testing.T) {
	b := joined(t, 6)
	b.mute[5] = true
	x := b.nodes[0]
	b.apply(x, x.m.Check(b.now, id(2), 5))
	b.apply(x, x.m.Check(b.now, id(6), 6))
	b.run(500 * ms)
	got := map[uint64]detect.Why{}
	for _, r := range x.result {
		got[r.Token] = r.State
	}
	if len(x.result) != 2 || got[5] != detect.Alive || got[6] != detect.Dead {
		t.Errorf("%+v", x.result)
	}
}

func TestMessagesReachEverybodyOnce(t *testing.T) {
	b := joined(t, 8)
	_, r, err := b.nodes[2].m.Publish(b.now, cast.Request{Topic: "news", Payload: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	b.apply(b.nodes[2], r)
	b.run(time.Second)
	for _, nd := range b.nodes {
		if want := min(1, max(nd.i-2, 2-nd.i)); len(nd.heard) != want {
			t.Errorf("%v heard %v", nd.m.id, nd.heard)
		}
	}
	if b.nodes[2].m.CastSeq() == 0 {
		t.Error("no sequence number")
	}
	if _, _, err := b.nodes[2].m.Publish(b.now, cast.Request{}); crux.KindOf(err) != crux.Invalid {
		t.Errorf("a message without a topic: %v", err)
	}
}

func TestTheStoreTalksToNeighbours(t *testing.T) {
	b := joined(t, 3)
	x := b.nodes[0]
	to := x.m.Neighbours()[0]
	b.apply(x, x.m.SendTo(b.now, to, Raw{0x51, 1, 2}))
	b.run(10 * ms)
	got := b.node(to).got
	if len(got) != 1 || got[0].From != x.m.id || fmt.Sprint(got[0].Msg) != fmt.Sprint(Raw{0x51, 1, 2}) {
		t.Errorf("%v", got)
	}
}

// Changes that come together are published together; bad news at once.
func TestGoodNewsIsPublishedTogether(t *testing.T) {
	b := newBloc(t, 1)
	x := b.nodes[0]
	b.run(startFor + time.Second)
	clock := x.m.Clock()
	for range 20 {
		x.m.news = true
		b.apply(x, x.m.Tick(b.now))
		b.run(ms)
	}
	b.run(100 * ms)
	if n := x.m.Clock() - clock; n < 1 || n > 2 {
		t.Errorf("%d adjacencies for 20 changes in 20 ms", n)
	}
	clock = x.m.Clock()
	b.apply(x, x.m.SetCard(b.now, &route.Card{Node: x.m.id, Epoch: 7, Seq: 2}))
	if x.m.Clock() != clock+1 || x.m.Own().Card.Seq != 2 {
		t.Errorf("a new address is published at once: %+v", x.m.Own())
	}
}

func TestMembersAreAList(t *testing.T) {
	m := NewMembers([]Member{{ID: id(1), Master: true}, {ID: id(2), Contact: true}})
	if !m.Has(id(1)) || m.Has(id(3)) || m.Len() != 2 || !slices.Equal(m.contacts, []crux.NodeID{id(2)}) || !slices.Equal(m.masters, []crux.NodeID{id(1)}) {
		t.Errorf("%+v", m)
	}
	if m := NewMembers([]Member{{ID: id(1)}, {ID: id(2)}}); len(m.contacts) != 0 {
		t.Errorf("the address of none is known, and contacts are %v", m.contacts)
	}
	var none *Members
	if none.Has(id(1)) {
		t.Error("nobody's list has somebody")
	}
}

// A node that was found dead and publishes again, long after, is not held for
// dead by those that found it so; an adjacency that was under way is no proof.
func TestTheDeadThatSpeakAreBelieved(t *testing.T) {
	b := joined(t, 4)
	x := b.nodes[0]
	dead, other := b.node(x.m.Neighbours()[0]), b.node(x.m.Neighbours()[1])
	b.mute[dead.i] = true
	b.run(time.Second)
	if _, ok := x.m.Own().CutOf(dead.m.id); !ok {
		t.Fatal("it is not found dead")
	}
	say := func() bool {
		dead.m.clock++
		b.apply(x, x.m.Frame(b.now, other.m.id, news(with(dead.m.Own(), dead.m.clock))))
		_, ok := x.m.Own().CutOf(dead.m.id)
		return ok
	}
	if !say() {
		t.Error("an adjacency of just before its death makes it alive")
	}
	b.run(2 * time.Second)
	if say() {
		t.Error("it publishes, and is held for dead")
	}
}

// The lost are looked for by pings, which cost them little however many look, and
// who hears one again links to it a moment later.
func TestTheLostArePinged(t *testing.T) {
	b := joined(t, 8)
	gone := b.nodes[7]
	b.mute[7] = true
	b.run(time.Second)
	for _, nd := range b.nodes[:7] {
		nd.since()
	}
	b.run(20 * time.Second)
	pings := 0
	for _, nd := range b.nodes[:7] {
		out := nd.since()
		if slices.Contains(out.Dial, gone.m.id) {
			t.Errorf("%v dials it", nd.m.id)
		}
		for _, d := range out.Datagrams {
			if d.To == gone.m.id {
				pings++
			}
		}
	}
	if pings < 7 || pings > 7*8 {
		t.Errorf("seven nodes have sent it %d pings in 20 s", pings)
	}
	x := b.nodes[0]
	delete(b.mute, 7)
	b.apply(x, x.m.Datagram(b.now, gone.m.id, &detect.Ack{Seq: 1}))
	b.run(2 * time.Second)
	for _, nd := range b.nodes[:7] {
		if s, _ := nd.m.State(gone.m.id); s != route.Up {
			t.Errorf("2 s after one has heard it, it is %v at %v", s, nd.m.id)
		}
	}
}

// A node of which all depends on one published edge, or on none, does not wait until
// others have said theirs.
func TestTheUprootedPublishAtOnce(t *testing.T) {
	ids := func(list ...int) (out []crux.NodeID) {
		for _, i := range list {
			out = append(out, id(i))
		}
		return out
	}
	for _, c := range []struct {
		said, now []crux.NodeID
		want      bool
	}{
		{nil, nil, false},
		{nil, ids(2), true},
		{ids(2), ids(2), false},
		{ids(2), ids(3), true},
		{ids(2), nil, false}, // there is nothing to say that would help
		{ids(2), ids(2, 3, 4), false},
		{ids(2, 3), ids(3, 4), false},
		{ids(2, 3, 4), ids(4, 5, 6), true},
		{ids(2, 3, 4), ids(4), false},
		{ids(2, 3, 4), ids(3, 4, 5), false},
	} {
		m := &Machine{own: &route.Adjacency{Edges: c.said}, edges: c.now}
		if got := m.uprooted(); got != c.want {
			t.Errorf("%v published, %v now: %v", c.said, c.now, got)
		}
	}
}
