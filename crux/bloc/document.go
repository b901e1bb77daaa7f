package bloc

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"

	"fulcrum.example/crux"
)

// Format is the first field of every bloc file.
const Format = "fulcrum-bloc-1"

// Bounds of a document. Parse refuses what is beyond them before it looks
// closer.
const (
	MaxSize       = 4 << 20 // bytes of the file
	MaxNodes      = 1 << 15
	MaxRules      = 1 << 12
	MaxPublishers = 64
)

// Enroll says who may become a member.
type Enroll string

// The modes of enrolment.
const (
	Listed Enroll = "listed" // the nodes whose keys the document lists
	Open   Enroll = "open"   // whoever holds the bloc's secondary key
)

// Any is a rule's field that matches everything.
const Any = "*"

// Rule allows a caller to call an API in a horde.
type Rule struct {
	// Caller is an instance ("galumph2_3"), an API ("galumph2": all of its
	// instances), the name of an attached client, or "*".
	Caller string `json:"caller"`
	// Horde is a horde's name or "*".
	Horde string `json:"horde"`
	// API is the API that may be called, as "galumph2", or "*".
	API string `json:"api"`
}

// Document is the content of a bloc file.
type Document struct {
	Format  string      `json:"format"`
	Bloc    crux.BlocID `json:"bloc"`
	Key     PublicKey   `json:"key"`     // the bloc key's public half
	Version uint64      `json:"version"` // from 1; the higher one replaces the lower
	Flock   string      `json:"flock"`   // the flock name; other names never merge
	Enroll  Enroll      `json:"enroll"`
	Nodes   []PublicKey `json:"nodes"` // enrolled node keys; empty if enrolment is open
	Allow   []Rule      `json:"allow"`
	// Publishers sign artifacts and intents, Need of them each. None: any
	// member's node key may.
	Publishers []PublicKey `json:"publishers"`
	Need       int         `json:"need"`
	Signature  Signature   `json:"signature"`
}

// New makes an unsigned document of version 1 with listed enrolment, no nodes
// and no rules.
func New(id crux.BlocID, flock string) *Document {
	return &Document{Format: Format, Bloc: id, Version: 1, Flock: flock, Enroll: Listed}
}

// Parse reads and checks a bloc file, signature included. Errors are Invalid
// (not a bloc file, or one with a fault) or Corrupt (the signature does not
// fit).
func Parse(b []byte) (*Document, error) {
	d, err := Decode(b)
	if err != nil {
		return nil, err
	}
	if err := d.Verify(); err != nil {
		return nil, err
	}
	return d, nil
}

// Decode reads and checks a bloc file but for its signature: for the tool that
// signs drafts. Nothing else may act on what it returns.
func Decode(b []byte) (*Document, error) {
	const op = "read bloc file"
	if len(b) > MaxSize {
		return nil, crux.Errorf(op, crux.Invalid, "it is %d bytes long; the limit is %d", len(b), MaxSize)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	d := new(Document)
	if err := dec.Decode(d); err != nil {
		return nil, crux.Errorf(op, crux.Invalid, "not a bloc file: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, crux.Errorf(op, crux.Invalid, "there is something after the document's end")
	}
	if err := d.Check(); err != nil {
		return nil, crux.Wrap(op, err)
	}
	return d, nil
}

// Marshal prints the document as a bloc file, indented, with a final newline.
func (d *Document) Marshal() ([]byte, error) {
	c := *d
	// Empty lists are printed as [], so that a reader sees where to add to.
	if c.Nodes == nil {
		c.Nodes = []PublicKey{}
	}
	if c.Allow == nil {
		c.Allow = []Rule{}
	}
	if c.Publishers == nil {
		c.Publishers = []PublicKey{}
	}
	b, err := json.MarshalIndent(&c, "", "  ")
	if err != nil {
		return nil, crux.Wrap("write bloc file", err)
	}
	return append(b, '\n'), nil
}

// Sign sets the document's key and signature, after checking the rest.
func (d *Document) Sign(blocKey ed25519.PrivateKey) error {
	const op = "sign bloc file"
	d.Key = PublicKey(blocKey.Public().(ed25519.PublicKey))
	if err := d.Check(); err != nil {
		return crux.Wrap(op, err)
	}
	d.Signature = ed25519.Sign(blocKey, crux.Labelled(labelDocument, d.signedBytes()))
	return nil
}

// Verify checks the signature against the key that the document names.
func (d *Document) Verify() error {
	const op = "verify bloc file"
	if len(d.Signature) == 0 {
		return crux.Errorf(op, crux.Invalid, "bloc %s version %d is not signed; sign it with `fulcrum bloc sign`", d.Bloc, d.Version)
	}
	if len(d.Key) != ed25519.PublicKeySize || len(d.Signature) != ed25519.SignatureSize ||
		!ed25519.Verify(ed25519.PublicKey(d.Key), crux.Labelled(labelDocument, d.signedBytes()), d.Signature) {
		return crux.Errorf(op, crux.Corrupt, "the signature of bloc %s version %d is not by its bloc key, or the file was changed after it was signed", d.Bloc, d.Version)
	}
	return nil
}

// Sum names the document's content: two documents with equal sums say the same,
// whoever wrote them down.
func (d *Document) Sum() [sha256.Size]byte {
	return sha256.Sum256(crux.Labelled(labelDocument, d.signedBytes()))
}

const labelDocument = "fulcrum bloc file v1"

// signedBytes is everything but the signature: fields with their lengths, lists
// with their counts, so that no two documents share them.
func (d *Document) signedBytes() []byte {
	b := make([]byte, 0, 512+40*len(d.Nodes)+96*len(d.Allow))
	b = crux.AppendField(b, []byte(d.Format))
	b = crux.AppendField(b, []byte(d.Bloc))
	b = crux.AppendField(b, d.Key)
	b = binary.BigEndian.AppendUint64(b, d.Version)
	b = crux.AppendField(b, []byte(d.Flock))
	b = crux.AppendField(b, []byte(d.Enroll))
	b = appendKeys(b, d.Nodes)
	b = binary.BigEndian.AppendUint32(b, uint32(len(d.Allow)))
	for _, r := range d.Allow {
		b = crux.AppendField(b, []byte(r.Caller))
		b = crux.AppendField(b, []byte(r.Horde))
		b = crux.AppendField(b, []byte(r.API))
	}
	b = appendKeys(b, d.Publishers)
	return binary.BigEndian.AppendUint32(b, uint32(d.Need))
}

func appendKeys(b []byte, keys []PublicKey) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(keys)))
	for _, k := range keys {
		b = crux.AppendField(b, k)
	}
	return b
}
