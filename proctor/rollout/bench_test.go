package rollout

import (
	"fmt"
	"testing"

	"fulcrum.example/crux"
)

// BenchmarkPlan is a thousand nodes with fifty intents of twenty replicas, at
// rest.
func BenchmarkPlan(b *testing.B) {
	w := &world{Input{}}
	for i := range 1000 {
		w.Nodes = append(w.Nodes, Node{ID: crux.NodeID{byte(i >> 8), byte(i)}, State: Ready, Known: true})
	}
	for i := range 50 {
		inst := crux.Inst(fmt.Sprintf("svc%d_0", i+1))
		w.Muster = append(w.Muster, function(inst, byte(i+1)))
		w.Intents = append(w.Intents, intent(inst, 20))
	}
	w.settle(b)
	for b.Loop() {
		Plan(w.Input)
	}
}
