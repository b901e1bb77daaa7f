package reeve_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fulcrum.example/crux"
)

func TestDocumentsOutliveAPowerOffOfAll(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 5, time.Minute)
	g.nodes[4].stop() // one is down all the while
	if err := g.nodes[1].propose(intent(t, 1, 3, g.nodes[1].key)); err != nil {
		t.Fatal(err)
	}
	if err := g.nodes[1].propose(intent(t, 1, 4, g.nodes[1].key)); crux.KindOf(err) != crux.Conflict {
		t.Errorf("another document of the same version: %v, want a conflict", err)
	}
	if err := g.nodes[1].propose(intent(t, 2, 2, g.nodes[1].key)); err != nil {
		t.Fatal(err)
	}
	for _, x := range g.nodes {
		x.stop()
	}
	for _, x := range g.nodes {
		x.inc++
	}
	g.lead(4) // the one that knows nothing leads now
	for _, x := range g.nodes {
		x.open()
	}
	for i, x := range g.nodes {
		eventually(t, fmt.Sprintf("node %d to have version 2", i), func() bool {
			d, ok := x.reeve.Get(crux.DocKey{Kind: crux.IntentDoc, Name: "default/galumph2"})
			return ok && d.Version == 2
		})
	}
	if err := g.nodes[4].propose(intent(t, 1, 9, g.nodes[1].key)); crux.KindOf(err) != crux.Conflict {
		t.Errorf("an older version: %v, want a conflict", err)
	}
}

func TestMinorityAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 5, time.Minute)
	for _, x := range g.nodes[2:] {
		x.stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := g.nodes[0].reeve.Propose(ctx, intent(t, 1, 3, g.nodes[0].key)); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("two of five: %v, want unavailable", err)
	}
}

func TestOnlyPublishersCount(t *testing.T) {
	t.Parallel()
	pub := ed25519.NewKeyFromSeed([]byte("a publisher of thirty-two bytes!"))
	other := ed25519.NewKeyFromSeed([]byte("another seed of thirty-two bytes"))
	g := newGroup(t, 3, time.Minute)
	g.pub, g.need = []ed25519.PublicKey{pub.Public().(ed25519.PublicKey)}, 1
	for name, d := range map[string]crux.Doc{
		"a stranger's": intent(t, 1, 3, other), "a member's": intent(t, 1, 3, g.nodes[0].key),
	} {
		if err := g.nodes[0].reeve.StoreDoc(d); crux.KindOf(err) != crux.Denied {
			t.Errorf("%s signature: %v, want denied", name, err)
		}
	}
	forged := intent(t, 1, 3, pub)
	forged.Version = 2
	if err := g.nodes[0].reeve.StoreDoc(forged); crux.KindOf(err) != crux.Denied {
		t.Errorf("a changed document: %v, want denied", err)
	}
	if err := g.nodes[0].reeve.StoreDoc(intent(t, 1, 3, pub)); err != nil {
		t.Errorf("the publisher's: %v", err)
	}
}

func TestDamagedDocumentIsSetAsideAndComesAgain(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, time.Minute)
	if err := g.nodes[0].propose(intent(t, 1, 3, g.nodes[0].key)); err != nil {
		t.Fatal(err)
	}
	x := g.nodes[2]
	key := crux.DocKey{Kind: crux.IntentDoc, Name: "default/galumph2"}
	eventually(t, "the document at node 2", func() bool { _, ok := x.reeve.Get(key); return ok })
	x.stop()
	files, err := filepath.Glob(filepath.Join(x.dir, "docs", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("{ torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	x.inc++
	g.lead(0)
	x.open()
	eventually(t, "the document to come again", func() bool { _, ok := x.reeve.Get(key); return ok })
	if _, err := os.Stat(files[0] + ".damaged"); err != nil {
		t.Errorf("the damaged file was not set aside: %v", err)
	}
}
