package replica

import (
	"testing"

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
