package crux

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Checksum is a SHA-256 sum: the name of an artifact.
type Checksum [32]byte

// ParseChecksum reads the 64 hex digits that String prints.
func ParseChecksum(s string) (Checksum, error) {
	var c Checksum
	if err := decodeHex(c[:], s); err != nil {
		return Checksum{}, Errorf("parse checksum", Invalid, "%q is not a SHA-256 checksum: want 64 hex digits", s)
	}
	return c, nil
}

// String prints the sum as 64 hex digits.
func (c Checksum) String() string { return hex.EncodeToString(c[:]) }

// IsZero says whether c names nothing.
func (c Checksum) IsZero() bool { return c == Checksum{} }

// MarshalText makes the sum readable in JSON.
func (c Checksum) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (c *Checksum) UnmarshalText(b []byte) (err error) {
	*c, err = ParseChecksum(string(b))
	return err
}

// UnitKind says what a service is made of.
type UnitKind string

// The kinds of units that picket runs.
const (
	Builtin      UnitKind = "builtin"       // compiled into fulcrum, and run inside it
	BuiltinChild UnitKind = "builtin-child" // compiled into fulcrum, and run in a process of its own
	Executable   UnitKind = "executable"    // any program whose main is service.Main
	Plugin       UnitKind = "plugin"        // a Go plugin (.so) and the name of its function
)

// HasArtifact says whether units of this kind are started from an artifact, so
// that they name its checksum.
func (k UnitKind) HasArtifact() bool { return k == Executable || k == Plugin }

// Function is a muster row: one entry in the inventory of what can be run. It
// is the body of a Doc of kind Muster, keyed by horde and instance.
type Function struct {
	Horde     Horde     `json:"horde"`
	API       API       `json:"api"`
	Inst      Inst      `json:"inst"`
	Kind      UnitKind  `json:"kind"`
	File      string    `json:"file"` // the published file's base name, for people
	Checksum  Checksum  `json:"checksum"`
	Size      int64     `json:"size"` // bytes
	Func      string    `json:"func"`
	Timestamp time.Time `json:"timestamp"`
}

// Intent is what should be: so many of an instance of an API in a horde. It is
// the body of a Doc of kind IntentDoc, keyed by horde and API, so that an API
// has one intent at a time.
type Intent struct {
	Horde     Horde     `json:"horde"`
	API       API       `json:"api"`
	Inst      Inst      `json:"inst"`
	Count     int       `json:"count"`
	Timestamp time.Time `json:"timestamp"`
}

// DocKind says what a Doc's body is.
type DocKind string

// The kinds of documents that reeves keep on disk.
const (
	MusterDoc DocKind = "muster" // Function
	IntentDoc DocKind = "intent" // Intent
)

// DocKey names a document.
type DocKey struct {
	Kind DocKind `json:"kind"`
	Name string  `json:"name"` // HORDE/INST for a muster row, HORDE/API for an intent
}

// Doc is a signed statement that has no owner node that could repeat it: an
// operator's or publisher's. Of one key the higher version replaces the lower;
// equal versions with other bytes are refused.
type Doc struct {
	DocKey
	Version    uint64         `json:"version"`
	Body       []byte         `json:"body"` // JSON of Function or Intent
	Signatures []DocSignature `json:"signatures"`
}

// DocSignature is one signer's word on a Doc.
type DocSignature struct {
	Key []byte `json:"key"` // Ed25519 public key
	Sig []byte `json:"sig"` // over Labelled(label, SignedBytes)
}

// Label is the label under which a document of this kind is signed.
func (k DocKind) Label() string {
	if k == IntentDoc {
		return LabelIntent
	}
	return LabelMuster
}

// SignedBytes is the document as signers sign it, for one bloc.
func (d *Doc) SignedBytes(bloc BlocID) []byte {
	b := AppendField(nil, []byte(bloc))
	b = AppendField(b, []byte(d.Kind))
	b = AppendField(b, []byte(d.Name))
	b = AppendField(b, fmt.Appendf(nil, "%d", d.Version))
	return AppendField(b, d.Body)
}

// Function decodes the body of a muster row and checks that it is the one that
// the key names.
func (d *Doc) Function() (Function, error) {
	var f Function
	if err := json.Unmarshal(d.Body, &f); err != nil {
		return f, Errorf("decode muster row "+d.Name, Corrupt, "%w", err)
	}
	if d.Kind != MusterDoc || d.Name != MusterName(f.Horde, f.Inst) || f.Inst.API() != f.API {
		return f, Errorf("decode muster row "+d.Name, Corrupt, "its body names %s/%s", f.Horde, f.Inst)
	}
	return f, nil
}

// Intent decodes the body of an intent and checks that it is the one that the
// key names.
func (d *Doc) Intent() (Intent, error) {
	var i Intent
	if err := json.Unmarshal(d.Body, &i); err != nil {
		return i, Errorf("decode intent "+d.Name, Corrupt, "%w", err)
	}
	if d.Kind != IntentDoc || d.Name != IntentName(i.Horde, i.API) || i.Inst.API() != i.API || i.Count < 0 {
		return i, Errorf("decode intent "+d.Name, Corrupt, "its body names %s/%s, %d of %s", i.Horde, i.API, i.Count, i.Inst)
	}
	return i, nil
}

// MusterName is the name of the muster row of inst.
func MusterName(h Horde, i Inst) string { return string(h) + "/" + string(i) }

// IntentName is the name of the intent of api.
func IntentName(h Horde, a API) string { return string(h) + "/" + string(a) }

// Docs is the group's store of signed documents, as one node sees it. What it
// hands out was verified.
type Docs interface {
	Get(k DocKey) (Doc, bool)
	List(kind DocKind) []Doc // sorted by name
	// Watch sends a token at once and after changes, until ctx ends.
	Watch(ctx context.Context) <-chan struct{}
	// Propose hands a document to the group and returns nil once it is synced
	// to the disks of a majority of members (of five, in a large flock).
	// Errors: Conflict for a version that is not higher, Denied for too few
	// valid signatures, Unavailable while there is no majority.
	Propose(ctx context.Context, d Doc) error
}

// Policy is the bloc's rules, as the bloc file states them. Its answers may
// change when a higher version of the file arrives.
type Policy interface {
	Bloc() BlocID
	// Enrolled says whether the owner of key may be a member: it is listed, or
	// enrolment is open.
	Enrolled(key ed25519.PublicKey) bool
	// Open says that enrolment is open: then a node counts as enrolled for a
	// connection only while it is a member of the flock.
	Open() bool
	// Allowed says whether caller (an instance, or the name of an attached
	// client) may call api in horde. Exact match; default deny.
	Allowed(caller string, horde Horde, api API) bool
	// Publishers are the keys that sign muster rows and intents, and how many
	// of them must. None listed: any member's node key may, one is enough.
	Publishers() (keys []ed25519.PublicKey, need int)
}
