package bed

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fulcrum.example/lashup/crdt"
	"fulcrum.example/lashup/replica"
)

// TestFabricsJoinSpreadUpdatesAndMissTheSilent also shows that what hangs can be
// closed, and that nobody else is missed.
func TestFabricsJoinSpreadUpdatesAndMissTheSilent(t *testing.T) {
	b, err := New(Options{Nodes: 5, Registry: true, Fabric: true, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := func(ok func(f *Fabric) bool) func() bool {
		return func() bool {
			for _, n := range b.Nodes {
				if !n.Net.isDead() && !n.Net.hung.Load() && !ok(n.Fabric) {
					return false
				}
			}
			return true
		}
	}
	until(t, "all to see all", all(func(f *Fabric) bool { return f.Up() == 5 }))
	if sent := b.Nodes[0].Fabric.Net.Sent(); sent < 500 {
		t.Errorf("%d bytes were counted for a node that joined", sent)
	}
	formed := time.Now()
	var seen atomic.Int64
	for _, n := range b.Nodes {
		stop, err := n.Fabric.Watch(t.Context(), []string{"bench", "*"}, func(key []string) { seen.Add(1) })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
	}
	if _, err := b.Nodes[3].Fabric.Store.Write(t.Context(), []replica.Write{{Key: []string{"bench", "x"}, Op: crdt.Assign(crdt.LastWriter, "y")}}); err != nil {
		t.Fatal(err)
	}
	until(t, "the update to be everywhere", func() bool { return seen.Load() == 5 })
	hung, cut := b.Nodes[1], b.Nodes[2]
	hung.Hang()
	until(t, "who hangs to be missed", all(func(f *Fabric) bool { return !f.Sees(hung.ID()) }))
	cut.Cut()
	until(t, "who was cut off to be missed", all(func(f *Fabric) bool { return !f.Sees(cut.ID()) }))
	for _, n := range []*Node{b.Nodes[0], b.Nodes[3], b.Nodes[4]} {
		for _, id := range n.Fabric.Fell(formed) {
			if id != hung.ID() && id != cut.ID() {
				t.Errorf("%s was missed", id)
			}
		}
	}
}

func TestAFabricNeedsARegistry(t *testing.T) {
	if _, err := New(Options{Nodes: 1, Fabric: true}); err == nil || !strings.Contains(err.Error(), "registry") {
		t.Errorf("got %v", err)
	}
}
