package replica

import (
	"fmt"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// One neighbour that says that the others have settled what this node never had
// costs it nothing; it asks the others, and believes two.
func TestOneNeighbourCannotMakeANodeStartOver(t *testing.T) {
	w := newWorld(t, 1, 1)
	n := w.nodes[0]
	n.start()
	peers := []crux.NodeID{testID(7), testID(8), testID(9)}
	n.r.Neighbours(w.now, peers)
	n.r.Write(w.now, testWall(w.now), Request{Token: 1, Writes: []Write{{Key: []string{"a"}, Op: crdt.Incr(1)}}})
	claim := &Settled{ID: RoundID{3, testID(7)}}
	claim.Vector.AddRange(crdt.Actor{Node: testID(7), Incarnation: 1}, 0, 9)
	asked := map[crux.NodeID]bool{}
	for range 3 {
		for _, s := range n.r.Receive(w.now, peers[0], claim).Sends {
			if a, ok := s.Msg.(*Ask); ok && a.Settled {
				asked[s.To] = true
			}
		}
	}
	if n.r.Stats().Resyncing {
		t.Fatal("one neighbour's word made the node start over")
	}
	if len(asked) != 2 || asked[peers[0]] {
		t.Errorf("it asked %v, want the other two", asked)
	}
	other := *claim
	other.Vector = crdt.Context{}
	other.Vector.AddRange(crdt.Actor{Node: testID(7), Incarnation: 1}, 0, 10)
	n.r.Receive(w.now, peers[1], &other)
	if n.r.Stats().Resyncing {
		t.Error("two that say different things made it start over")
	}
	n.r.Receive(w.now, peers[2], claim)
	if !n.r.Stats().Resyncing {
		t.Error("two that agree did not")
	}
}

// However many spans come at a time, they are hashed once.
func TestManySpansAtATimeAreHashedOnce(t *testing.T) {
	v := newVector()
	for i := range uint64(20000) {
		v.add(crdt.Span{Node: testID(9), Lo: crdt.Mark{Incarnation: 1, Seq: 2 * i}, Hi: crdt.Mark{Incarnation: 1, Seq: 2*i + 1}})
	}
	if v.total != 0 || len(v.stale) != 1 {
		t.Errorf("hashed already; %d are to be", len(v.stale))
	}
	if v.hash() == 0 || len(v.stale) != 0 {
		t.Error("not hashed")
	}
}

// Who says that it has more, without an end, is left after a while for those that
// have something.
func TestNobodyIsPulledFromWithoutAnEnd(t *testing.T) {
	w := newWorld(t, 1, 1)
	n := w.nodes[0]
	n.start()
	rogue, other := testID(7), testID(8)
	n.r.Neighbours(w.now, []crux.NodeID{rogue, other})
	p, seq := n.r.peers[rogue], uint64(0)
	n.r.startPull(p, false, make([]uint64, 1), []uint64{1})
	for end := w.now + 10*pullMost; n.r.pulls[0] != nil; w.now += pullTimeout - time.Second {
		if w.now > end {
			t.Fatal("it is pulled from still")
		}
		seq++
		m := &Chunk{Nonce: n.r.pulls[0].nonce, More: true}
		m.Covered.AddRange(crdt.Actor{Node: rogue, Incarnation: 1}, seq-1, seq)
		n.r.Receive(w.now, rogue, m)
	}
	if n.r.mayPull(p, false) || !n.r.mayPull(n.r.peers[other], false) {
		t.Error("the other one has not its turn")
	}
}

// Nor does who begins again as soon as it has ended.
func TestNobodyIsPulledFromAgainAndAgain(t *testing.T) {
	w := newWorld(t, 1, 1)
	n := w.nodes[0]
	n.start()
	rogue := testID(7)
	n.r.Neighbours(w.now, []crux.NodeID{rogue, testID(8)})
	n.r.startPull(n.r.peers[rogue], false, make([]uint64, 1), []uint64{1})
	for seq := range uint64(8) {
		m := &Chunk{Nonce: n.r.pulls[0].nonce, More: true}
		m.Covered.AddRange(crdt.Actor{Node: rogue, Incarnation: 1}, seq, seq+1)
		n.r.Receive(w.now, rogue, m)
		w.now += pullTimeout - time.Second
	}
	n.r.Receive(w.now, rogue, &Chunk{Nonce: n.r.pulls[0].nonce})
	n.r.Receive(w.now, rogue, &Sums{Sums: []uint64{99}})
	if n.r.pulls[0] != nil {
		t.Error("it is pulled from again, and the others have no turn")
	}
	w.now += pullMost
	n.r.Receive(w.now, rogue, &Sums{Sums: []uint64{99}})
	if n.r.pulls[0] == nil {
		t.Error("it is not pulled from any more")
	}
}

// Who holds nothing of a node's keys does not make it say them all anew at once.
func TestNobodyMakesANodeSayEverythingAnew(t *testing.T) {
	w := newWorld(t, 1, 1)
	n := w.nodes[0]
	n.start()
	for i := range 3000 {
		n.mustWrite(Write{Key: testKey(n.id, fmt.Sprint(i)), Op: crdt.Incr(1)})
	}
	n.r.Neighbours(w.now, []crux.NodeID{testID(7)})
	before := n.r.Stats().Republished
	for range 100 {
		n.r.Receive(w.now, testID(7), &Leaves{})
	}
	if got := n.r.Stats().Republished - before; got == 0 || got > uint64(republishRate.Burst) {
		t.Errorf("%d keys were said anew", got)
	}
}
