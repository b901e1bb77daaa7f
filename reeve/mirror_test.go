package reeve_test

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/pastiche/dir"
	"fulcrum.example/reeve/mirror"
)

// openMirrors mirrors each node's documents to one store.
func (g *group) openMirrors(store mirror.Store) (closeAll func()) {
	var all []*mirror.Mirror
	for _, x := range g.nodes {
		m, err := mirror.Open(mirror.Config{Store: store, Reeve: x.reeve, Members: members{x}})
		if err != nil {
			g.t.Fatal(err)
		}
		all = append(all, m)
	}
	return func() {
		for _, m := range all {
			if err := m.Close(); err != nil {
				g.t.Error(err)
			}
		}
	}
}

func TestIntentOutlivesTheDisksOfAllNodesInTheStore(t *testing.T) {
	t.Parallel()
	publisher := ed25519.NewKeyFromSeed([]byte("a publisher of thirty-two bytes!"))
	g := makeGroup(t, 3, time.Minute, nil)
	g.pub, g.need = []ed25519.PublicKey{publisher.Public().(ed25519.PublicKey)}, 1
	g.start()
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	closeAll := g.openMirrors(store)
	for version := range uint64(2) {
		if err := g.nodes[1].propose(intent(t, version+1, 3, publisher)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "version 2, and it alone, in the store", func() bool {
		docs, err := store.ListDocs(t.Context())
		return err == nil && len(docs) == 1 && docs[0].Version == 2
	})
	closeAll()

	for _, x := range g.nodes {
		x.stop()
		x.inc++
		if err := os.RemoveAll(filepath.Join(x.dir, "docs")); err != nil {
			t.Fatal(err)
		}
	}
	g.lead(2)
	g.start()
	for i, x := range g.nodes {
		if docs := x.reeve.List(crux.IntentDoc); len(docs) != 0 {
			t.Fatalf("node %d has %d intents without a disk or a mirror: the test shows nothing", i, len(docs))
		}
	}
	defer g.openMirrors(store)()
	for i, x := range g.nodes {
		eventually(t, fmt.Sprintf("node %d to have version 2 again", i), func() bool {
			d, ok := x.reeve.Get(crux.DocKey{Kind: crux.IntentDoc, Name: "default/galumph2"})
			return ok && d.Version == 2
		})
	}
	if err := g.nodes[0].propose(intent(t, 1, 9, publisher)); crux.KindOf(err) != crux.Conflict {
		t.Errorf("an older version: %v, want a conflict", err)
	}
}
