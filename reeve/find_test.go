package reeve_test

import (
	"context"
	"testing"
	"time"
)

func TestWhatWasAcknowledgedIsFoundEverywhereAtOnce(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 5, time.Minute)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for version := range uint64(20) {
		d := intent(t, version+1, 3, g.nodes[3].key)
		if err := g.nodes[3].propose(d); err != nil {
			t.Fatal(err)
		}
		for i, x := range g.nodes {
			if got, err := x.reeve.Find(ctx, d.DocKey); err != nil || got.Version != d.Version {
				t.Fatalf("%s at node %d: version %d, %v", d.Name, i, got.Version, err)
			}
		}
	}
}
