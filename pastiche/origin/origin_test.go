package origin_test

import (
	"math"
	"strings"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/pastiche/origin"
)

func doc(name string, version uint64) crux.Doc {
	return crux.Doc{DocKey: crux.DocKey{Kind: crux.IntentDoc, Name: name}, Version: version, Body: []byte(`{"n":1}`),
		Signatures: []crux.DocSignature{{Key: []byte("key"), Sig: []byte("sig")}}}
}

func TestDocumentsComeBackUnderTheirNamesOnly(t *testing.T) {
	d := doc("default/galumph2", 7)
	text, err := origin.Encode(&d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := origin.Decode(origin.Name(&d), text)
	if err != nil || got.DocKey != d.DocKey || got.Version != 7 || string(got.Body) != string(d.Body) || len(got.Signatures) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	other := doc("default/galumph2", 8)
	if _, err := origin.Decode(origin.Name(&other), text); crux.KindOf(err) != crux.Corrupt {
		t.Errorf("version 7 under the name of version 8: %v, want corrupt", err)
	}
	if _, err := origin.Decode(origin.Name(&d), text[:9]); crux.KindOf(err) != crux.Corrupt {
		t.Errorf("a torn document: %v, want corrupt", err)
	}
	d.Body = make([]byte, origin.MaxDoc)
	if _, err := origin.Encode(&d); crux.KindOf(err) != crux.Invalid {
		t.Errorf("a huge document: %v, want invalid", err)
	}
	if strings.Contains(origin.Name(&d), "galumph") {
		t.Error("a document's name, which anybody may choose, is part of a path")
	}
}

func TestOnlyLowerVersionsOfTheSameAreReplaced(t *testing.T) {
	d := doc("a", 10)
	for name, want := range map[string]bool{
		at("a", 9): true, at("a", 0): true, at("a", 10): false, at("a", 11): false, at("a", math.MaxUint64): false,
		at("b", 1): false, "docs/intent/README": false, at("a", 9) + ".bak": false,
	} {
		if got := origin.Replaces(&d, name); got != want {
			t.Errorf("version 10 of a replaces %s: %v, want %v", name, got, want)
		}
	}
}

func at(name string, version uint64) string {
	d := doc(name, version)
	return origin.Name(&d)
}
