package s3_test

import (
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/pastiche/s3"
	"fulcrum.example/pastiche/s3/s3test"
)

func TestDocumentsStayBesideArtifacts(t *testing.T) {
	t.Parallel()
	s3test.Each(t, func(t *testing.T, cfg s3.Config) {
		for _, prefix := range []string{"", "deep/er"} {
			cfg.Prefix = prefix
			s := open(t, cfg)
			if docs, err := s.ListDocs(t.Context()); err != nil || len(docs) != 0 {
				t.Fatalf("an empty store lists %v, %v", docs, err)
			}
			d := crux.Doc{DocKey: crux.DocKey{Kind: crux.IntentDoc, Name: "default/galumph2"}, Body: []byte(`{"count":3}`)}
			for d.Version = 9; d.Version <= 11; d.Version++ {
				if err := s.PutDoc(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			docs, err := s.ListDocs(t.Context())
			if err != nil || len(docs) != 1 || docs[0].Version != 11 || docs[0].Name != d.Name || string(docs[0].Body) != string(d.Body) {
				t.Errorf("listed %v, %v; want version 11 alone", docs, err)
			}
		}
	})
}
