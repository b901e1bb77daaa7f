// Package origin says how an artifact store keeps the group's signed documents
// beside its artifacts: how they are named and written, whichever store it is.
//
// A document is the object docs/KIND/HASH-VERSION.json, where HASH is of its
// name and VERSION has 20 digits. Versions lie side by side, so that a writer
// that is behind never replaces a later one. Nothing here was verified: whoever
// reads a document checks its signatures.
package origin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"fulcrum.example/crux"
)

// Docs is the folder of all documents, below a store's prefix.
const Docs = "docs"

// MaxDoc bounds a document's object, in bytes.
const MaxDoc = 256 << 10

// Kinds are the kinds of documents, each a folder of Docs.
func Kinds() []crux.DocKind { return []crux.DocKind{crux.MusterDoc, crux.IntentDoc} }

// Dir is the folder of a kind of documents.
func Dir(k crux.DocKind) string { return Docs + "/" + string(k) }

// stem is what the objects of all versions of a document begin with.
func stem(k crux.DocKey) string {
	sum := sha256.Sum256([]byte(k.Name))
	return Dir(k.Kind) + "/" + hex.EncodeToString(sum[:16]) + "-"
}

// Name is the object of one version of a document.
func Name(d *crux.Doc) string { return fmt.Sprintf("%s%020d.json", stem(d.DocKey), d.Version) }

// Encode writes a document.
func Encode(d *crux.Doc) ([]byte, error) {
	text, err := json.MarshalIndent(d, "", "  ")
	if err == nil && len(text) > MaxDoc {
		err = fmt.Errorf("it has %d bytes; at most %d are allowed", len(text), MaxDoc)
	}
	if err != nil {
		return nil, crux.Errorf("encode "+d.Name, crux.Invalid, "%w", err)
	}
	return text, nil
}

// Decode reads the document that the named object holds. Errors: Corrupt.
func Decode(name string, text []byte) (d crux.Doc, err error) {
	if err := json.Unmarshal(text, &d); err != nil {
		return d, crux.Errorf("decode "+name, crux.Corrupt, "%w", err)
	}
	if Name(&d) != name {
		return d, crux.Errorf("decode "+name, crux.Corrupt, "it holds another document: %s %s, version %d", d.Kind, d.Name, d.Version)
	}
	return d, nil
}

// Replaces says whether the named object is an older version of d, which is not
// needed once d, whose signatures were checked, is there.
func Replaces(d *crux.Doc, name string) bool {
	return strings.HasPrefix(name, stem(d.DocKey)) && len(name) == len(Name(d)) && name < Name(d)
}
