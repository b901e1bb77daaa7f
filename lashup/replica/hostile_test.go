package replica

import (
	"fmt"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// deltaOf applies an operation as any actor.
func deltaOf(t *testing.T, a crdt.Actor, seq uint64, op crdt.Op, s *crdt.State) *crdt.State {
	t.Helper()
	d, err := s.Apply(op, crdt.Dot{Actor: a, Seq: seq}, 1, nil, crdt.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func encodedKey(t *testing.T, key ...string) string {
	t.Helper()
	s, err := EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signed makes the bundle of one key that sig's maker has signed.
func signed(t *testing.T, key []string, s *crdt.State, owner, signer crux.NodeID, inc uint64) Bundle {
	t.Helper()
	enc := encodedKey(t, key...)
	leaf := leafHash("bloc", enc, topOf(s.Context(), owner), sumOf(s.Value()))
	b := &batch{cardID: cardID{owner, inc}, leaves: 1}
	copy(b.sig[:], testSig(signer, inc, leaf[:]))
	var out bundler
	out.add(Value{Key: enc, State: s.Append(nil), Whole: true}, &proof{batch: b})
	return out.bundle(nil)
}

func TestNamespacesAreTheirOwners(t *testing.T) {
	w := newWorld(t, 3, 1)
	w.linkAll()
	w.startAll()
	owner, liar, n := w.nodes[0], w.nodes[1], w.nodes[2]
	key := testKey(owner.id, "x")
	owner.mustWrite(Write{Key: key, Op: assign("true")})
	w.converge(time.Minute)

	if a := liar.result(liar.write(Write{Key: key, Op: assign("lie")})); crux.KindOf(a.Err) != crux.Denied {
		t.Errorf("a write to another's namespace: %v", a.Err)
	}
	actor := crdt.Actor{Node: owner.id, Incarnation: 1}
	lie := &crdt.State{}
	deltaOf(t, actor, 50, assign("lie"), lie)
	for name, b := range map[string]Bundle{
		"signed by another":   signed(t, key, lie, owner.id, liar.id, 1),
		"of another key":      signed(t, testKey(owner.id, "y"), lie, owner.id, owner.id, 1),
		"without incarnation": signed(t, key, lie, owner.id, owner.id, 2),
	} {
		if name == "of another key" {
			b.Items[0].Key = encodedKey(t, key...)
		}
		before := n.r.Stats().Forged
		m := &Update{Incarnation: 1, Ranges: []Range{{40, 50}}, Bundle: b}
		n.do(func(r *Replica) Ready { return r.Delivered(w.now, liar.id, m.Append(nil)) })
		n.do(func(r *Replica) Ready { return r.Delivered(w.now, owner.id, m.Append(nil)) })
		if got := n.value(key...); got != "true" {
			t.Errorf("%s: the key is %v", name, got)
		}
		if n.r.Stats().Forged == before {
			t.Errorf("%s: nobody counted it", name)
		}
	}
	// The owner's word, passed on by anybody, is taken.
	m := &Update{Incarnation: 1, Ranges: []Range{{40, 50}}, Bundle: signed(t, key, lie, owner.id, owner.id, 1)}
	n.do(func(r *Replica) Ready { return r.Delivered(w.now, liar.id, m.Append(nil)) })
	if got := n.value(key...); got != "lie" {
		t.Errorf("the key is %v", got)
	}
	// An old word of the owner's changes nothing.
	old := &crdt.State{}
	deltaOf(t, actor, 1, assign("old"), old)
	m = &Update{Incarnation: 1, Ranges: []Range{{60, 61}}, Bundle: signed(t, key, old, owner.id, owner.id, 1)}
	n.do(func(r *Replica) Ready { return r.Delivered(w.now, liar.id, m.Append(nil)) })
	if got := n.value(key...); got != "lie" {
		t.Errorf("the key is %v", got)
	}
}

func TestProofsSurviveTheDisk(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.linkAll()
	w.startAll()
	var list []Write
	for i := range 20 {
		list = append(list, Write{Key: testKey(w.nodes[0].id, fmt.Sprint(i)), Op: crdt.Incr(1)})
	}
	w.nodes[0].mustWrite(list...)
	w.converge(time.Minute)
	n := w.nodes[1]
	n.stop()
	for k, v := range n.disk { // somebody changes a value
		if k[0] == lineKey && v[len(v)-1] == 2 {
			v[len(v)-1] = 4
			break
		}
	}
	n.start()
	if s := n.r.Stats(); s.Corrupt != 1 || s.Keys != 19 {
		t.Errorf("%+v", s)
	}
	w.converge(5 * time.Minute)
	if s := n.r.Stats(); s.Keys != 20 || s.Repaired != 1 {
		t.Errorf("%+v", s)
	}
}

func TestNobodyKnowsWhatThisNodeHasNotDone(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.linkAll()
	w.startAll()
	n, liar := w.nodes[0], w.nodes[1]
	n.mustWrite(Write{Key: []string{"a"}, Op: crdt.Incr(1)})
	w.converge(time.Minute)
	s := &crdt.State{}
	deltaOf(t, crdt.Actor{Node: n.id, Incarnation: 1}, 1000, crdt.Incr(7), s)
	deltaOf(t, crdt.Actor{Node: liar.id, Incarnation: 1}, 5, crdt.Incr(7), s)
	m := &Update{Incarnation: 1, Ranges: []Range{{4, 5}}, Bundle: Bundle{Items: []Value{{Key: encodedKey(t, "a"), State: s.Append(nil)}}}}
	n.do(func(r *Replica) Ready { return r.Delivered(w.now, liar.id, m.Append(nil)) })
	if got := n.value("a"); got != int64(1) || n.r.Stats().Forged != 1 {
		t.Errorf("the counter is %v, %+v", got, n.r.Stats())
	}
	n.mustWrite(Write{Key: []string{"a"}, Op: crdt.Incr(1)})
	if got := n.value("a"); got != int64(2) {
		t.Errorf("the counter is %v", got)
	}
}

func TestClocksFarAheadAreNotBelieved(t *testing.T) {
	w := newWorld(t, 3, 1)
	w.startAll()
	n, o := w.nodes[0], w.nodes[1]
	far := stampOf(testWall(w.now).Add(time.Hour))
	s := &crdt.State{}
	if _, err := s.Apply(assign("future"), crdt.Dot{Actor: crdt.Actor{Node: o.id, Incarnation: 1}, Seq: 1}, far, nil, crdt.Limits{}); err != nil {
		t.Fatal(err)
	}
	m := &Update{Incarnation: 1, Clock: far, Ranges: []Range{{0, 1}}, Bundle: Bundle{Items: []Value{{Key: encodedKey(t, "r"), State: s.Append(nil)}}}}
	n.do(func(r *Replica) Ready { return r.Delivered(w.now, o.id, m.Append(nil)) })
	if n.r.Stats().FarFuture != 1 || n.r.clock.last >= far {
		t.Errorf("%+v, the clock is at %d", n.r.Stats(), n.r.clock.last)
	}
	n.mustWrite(Write{Key: []string{"r"}, Op: assign("now")})
	if got := n.value("r"); got != "now" {
		t.Errorf("who has seen the value from the future writes %v", got)
	}
}

func TestOversizedUpdatesAreRefusedWhole(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.limits = Limits{Value: 1000}
	w.linkAll()
	w.startAll()
	n, o := w.nodes[0], w.nodes[1]
	big := string(make([]byte, 5000))
	if a := n.result(n.put(assign(big), "k")); crux.KindOf(a.Err) != crux.Exhausted || n.value("k") != nil {
		t.Errorf("a local value: %v, %v", a.Err, n.value("k"))
	}
	s := &crdt.State{}
	deltaOf(t, crdt.Actor{Node: testID(9), Incarnation: 1}, 1, assign(big), s)
	b := Bundle{Items: []Value{{Key: encodedKey(t, "k"), State: s.Append(nil)}}}
	m := &Update{Incarnation: 1, Ranges: []Range{{0, 1}}, Bundle: b}
	n.do(func(r *Replica) Ready { return r.Delivered(w.now, testID(9), m.Append(nil)) })
	if n.value("k") != nil || n.r.Stats().Oversized != 1 {
		t.Errorf("a remote value was taken: %+v", n.r.Stats())
	}
	// Values that grow beyond the limit by what several write are kept.
	n.split(t, o)
}

// split lets two nodes fill a value from both sides.
func (n *testNode) split(t *testing.T, o *testNode) {
	w := n.w
	w.split([]int{0}, []int{1})
	n.mustWrite(Write{Key: []string{"set"}, Op: crdt.Add(crdt.AddWinsSet, "n"+string(make([]byte, 800)))})
	o.mustWrite(Write{Key: []string{"set"}, Op: crdt.Add(crdt.AddWinsSet, "o"+string(make([]byte, 800)))})
	w.split()
	w.converge(time.Minute)
	if a := n.result(n.put(crdt.Add(crdt.AddWinsSet, "more"), "set")); crux.KindOf(a.Err) != crux.Exhausted {
		t.Errorf("more: %v", a.Err)
	}
	n.mustWrite(Write{Key: []string{"set"}, Op: crdt.Reset()})
	w.converge(time.Minute)
}

// FuzzReceive lets a neighbour and a member say anything.
func FuzzReceive(f *testing.F) {
	w := newWorld(f, 3, 1)
	w.linkAll()
	w.startAll()
	w.tap = func(_ *testNode, m Message) {
		if m.Size() < 600 {
			f.Add(m.Append(nil))
		}
	}
	w.loss = 0.5
	w.chatter(2*time.Second, 30)
	w.run(time.Minute)
	f.Add((&Tree{Prefix: []byte{1}}).Append(nil))
	f.Add((&Leaves{Leaves: []Leaf{{1, 2}}}).Append(nil))
	f.Add((&Fetch{Keys: []uint64{1}}).Append(nil))
	f.Add((&Settled{ID: RoundID{9, testID(1)}}).Append(nil))
	w.tap = nil
	n := w.nodes[0]
	f.Fuzz(func(t *testing.T, b []byte) {
		n.r.Delivered(w.now, testID(1), b)
		m, err := Decode(b)
		if err != nil {
			return
		}
		if got := m.Append(nil); string(got) != string(b) || m.Size() != len(b) {
			t.Fatalf("%T of %d bytes is encoded in %d, and says %d", m, len(b), len(got), m.Size())
		}
		for _, s := range n.r.Receive(w.now, testID(1), m).Sends {
			if _, err := Decode(s.Msg.Append(nil)); err != nil {
				t.Fatalf("the answer to %T is %T: %v", m, s.Msg, err)
			}
		}
		n.r.Tick(w.now)
	})
}
