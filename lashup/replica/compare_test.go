package replica

import (
	"fmt"
	"testing"
	"time"

	"fulcrum.example/lashup/crdt"
)

// corrupt changes what a key holds behind the replica's back.
func (n *testNode) corrupt(op crdt.Op, key ...string) {
	n.w.t.Helper()
	enc, err := EncodeKey(key)
	if err != nil {
		n.w.t.Fatal(err)
	}
	rec := n.r.find(enc)
	s := &crdt.State{}
	ctx := n.r.state(rec).Context()
	for id, top := range tops(ctx) {
		if _, err := s.Apply(op, crdt.Dot{Actor: crdt.Actor{Node: id, Incarnation: top.Incarnation}, Seq: top.Seq}, 1, nil, crdt.Limits{}); err != nil {
			n.w.t.Fatal(err)
		}
		break
	}
	n.r.keep(rec, s)
	n.r.soil(rec)
}

func TestCorruptValuesAreReplacedByWhatTwoNeighboursHold(t *testing.T) {
	w := newWorld(t, 5, 1)
	w.linkAll()
	for i := range 5 {
		w.link(2, i)
	}
	delete(w.nodes[2].links, 2)
	w.startAll()
	for i := range 600 {
		w.nodes[i%5].put(crdt.Incr(1), "k", fmt.Sprint(i))
	}
	w.nodes[1].put(crdt.Incr(1), testKey(w.nodes[1].id, "own")...)
	w.converge(time.Minute)
	n := w.nodes[2]
	want := fmt.Sprint(n.dump())
	n.corrupt(crdt.Incr(77), "k", "5")
	n.corrupt(crdt.Incr(78), "k", "6")
	n.corrupt(crdt.Incr(79), testKey(w.nodes[1].id, "own")...)
	rec := n.r.find(encodedKey(t, "k", "7"))
	n.r.discard(rec) // it is lost altogether
	w.converge(10 * time.Minute)
	if got := fmt.Sprint(n.dump()); got != want {
		t.Errorf("had %s\nhas %s", want, got)
	}
	for _, o := range w.nodes {
		s := o.r.Stats()
		if o == n && (s.Repaired != 4 || len(o.repaired) != 4) || o != n && s.Repaired > 0 {
			t.Errorf("node %d: %d repaired, %q reported", o.index, s.Repaired, o.repaired)
		}
	}
}

func TestTwoReplicasThatDifferAgreeInTheEnd(t *testing.T) {
	w := newWorld(t, 2, 2)
	w.linkAll()
	w.startAll()
	w.nodes[0].put(crdt.Incr(1), "k")
	w.nodes[1].put(crdt.Incr(1), testKey(w.nodes[1].id, "own")...)
	w.converge(time.Minute)
	w.nodes[1].corrupt(crdt.Incr(77), "k")
	w.nodes[0].corrupt(crdt.Incr(77), testKey(w.nodes[1].id, "own")...)
	w.until(10*time.Minute, "they agree", w.equal)
	if got := w.nodes[0].value(testKey(w.nodes[1].id, "own")...); got != int64(1) {
		t.Errorf("what is signed has become %v", got)
	}
}

func TestTreesFindWhatDiffers(t *testing.T) {
	w := newWorld(t, 3, 3)
	w.linkAll()
	w.startAll()
	var list []Write
	for i := range 2000 {
		list = append(list, Write{Key: []string{"k", fmt.Sprint(i)}, Op: crdt.Incr(1)})
	}
	for len(list) > 0 {
		w.nodes[0].mustWrite(list[:500]...)
		list = list[500:]
	}
	w.converge(time.Minute)
	for i := range 5 {
		w.nodes[2].corrupt(crdt.Incr(2), "k", fmt.Sprint(i*400))
	}
	w.linkBytes = 0
	w.converge(10 * time.Minute)
	t.Logf("%d bytes to find 5 of 2000 keys", w.linkBytes)
	if w.linkBytes > 200<<10 {
		t.Errorf("%d bytes to find 5 of 2000 keys", w.linkBytes)
	}
}
