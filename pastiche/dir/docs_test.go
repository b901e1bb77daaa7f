package dir

import (
	"os"
	"path/filepath"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/pastiche/origin"
)

func document(name string, version uint64) crux.Doc {
	return crux.Doc{DocKey: crux.DocKey{Kind: crux.MusterDoc, Name: name}, Version: version, Body: []byte("{}")}
}

func TestDocumentsStayBesideArtifacts(t *testing.T) {
	path := t.TempDir()
	s := open(t, path)
	if docs, err := s.ListDocs(t.Context()); err != nil || len(docs) != 0 {
		t.Fatalf("an empty store lists %v, %v", docs, err)
	}
	for _, version := range []uint64{9, 10, 9} { // the last by a writer that is behind
		if err := s.PutDoc(t.Context(), document("default/a2_1", version)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutDoc(t.Context(), document("default/b1_0", 1)); err != nil {
		t.Fatal(err)
	}
	highest := map[string]uint64{}
	docs, err := open(t, path).ListDocs(t.Context())
	for _, d := range docs {
		highest[d.Name] = max(highest[d.Name], d.Version)
	}
	if err != nil || highest["default/a2_1"] != 10 || highest["default/b1_0"] != 1 {
		t.Fatalf("listed %v, %v", highest, err)
	}
	if err := s.PutDoc(t.Context(), document("default/a2_1", 11)); err != nil {
		t.Fatal(err)
	}
	if docs, err := s.ListDocs(t.Context()); err != nil || len(docs) != 2 {
		t.Errorf("%d documents are left (%v), want one version of each", len(docs), err)
	}
	if err := s.List(t.Context(), func(crux.Checksum, int64) error { t.Error("a document is listed as an artifact"); return nil }); err != nil {
		t.Error(err)
	}
}

func TestDamagedDocumentHidesNoOther(t *testing.T) {
	path := t.TempDir()
	s := open(t, path)
	good, bad := document("default/a2_1", 1), document("default/a2_1", 2)
	if err := s.PutDoc(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, filepath.FromSlash(origin.Name(&bad))), []byte("{ torn"), 0o644); err != nil {
		t.Fatal(err)
	}
	docs, err := s.ListDocs(t.Context())
	if len(docs) != 1 || docs[0].Version != 1 || crux.KindOf(err) != crux.Corrupt {
		t.Errorf("got %v, %v; want version 1, and corrupt", docs, err)
	}
}
