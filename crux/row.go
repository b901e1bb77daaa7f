package crux

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Status says how a service endpoint fares.
type Status uint8

// The states of an endpoint. Only Serving ones are given new work; a Draining
// one finishes what it has; a Gone row is its owner's word that the endpoint
// ended (a tombstone).
const (
	Starting Status = iota + 1
	Serving
	Draining
	Gone
)

var statusNames = [...]string{"unknown", "starting", "serving", "draining", "gone"}

// String gives the state's lower-case name.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return statusNames[0]
}

// Fservice is one heartbeat: a service routine's word that an endpoint of its
// own is well. It is what travels on an alive channel.
type Fservice struct {
	Horde      Horde
	API        API
	Inst       Inst
	NetID      NetID
	Flock      FlockID
	Issued     time.Time // by the sender's clock: informs people, decides nothing
	ValidUntil time.Time // Issued plus how long the beat holds
	Status     Status
}

// Row is one line of the registry: an endpoint, signed by the node that runs
// it. Rows are ordered by (Incarnation, Seq) for each owner; a receiver refuses
// an equal or lower one. TTL is how long the row holds after its receipt or
// renewal, measured by the receiver's own monotonic clock.
type Row struct {
	Node        NodeID
	Horde       Horde
	API         API
	Inst        Inst
	NetID       NetID
	Status      Status
	Key         []byte // the endpoint's public key (Ed25519), 32 bytes
	Generation  uint32 // of the endpoint key
	Incarnation uint64
	Seq         uint64
	TTL         time.Duration
	Issued      time.Time // informs people
	Signature   []byte    // by the node key over SignedBytes, label LabelRow
}

// RowKey is what makes a row one row: who runs which instance where.
type RowKey struct {
	Node  NodeID
	Horde Horde
	Inst  Inst
	NetID NetID
}

// Key returns the row's key.
func (r *Row) RowKey() RowKey { return RowKey{r.Node, r.Horde, r.Inst, r.NetID} }

// Newer says whether r is its owner's later word than o.
func (r *Row) Newer(o *Row) bool {
	if r.Incarnation != o.Incarnation {
		return r.Incarnation > o.Incarnation
	}
	return r.Seq > o.Seq
}

// SignedBytes is the row without its signature, every field length-prefixed or
// of fixed length, as the owner signs it.
func (r *Row) SignedBytes() []byte {
	b := make([]byte, 0, 192)
	b = AppendField(b, r.Node[:])
	b = AppendField(b, []byte(r.Horde))
	b = AppendField(b, []byte(r.API))
	b = AppendField(b, []byte(r.Inst))
	b = AppendField(b, []byte(r.NetID))
	b = append(b, byte(r.Status))
	b = AppendField(b, r.Key)
	b = binary.BigEndian.AppendUint32(b, r.Generation)
	b = binary.BigEndian.AppendUint64(b, r.Incarnation)
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(r.TTL))
	return binary.BigEndian.AppendUint64(b, uint64(r.Issued.UnixNano()))
}

// AppendField appends f with its length before it (4 bytes, big-endian), as
// every field that goes into a signature or a derivation is written.
func AppendField(b, f []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
	return append(b, f...)
}

// Labels of node signatures. A signature made under one label is worth nothing
// under another (domain separation).
const (
	LabelRecord  = "fulcrum flock record v1"
	LabelRow     = "fulcrum registry row v1"
	LabelDigest  = "fulcrum registry digest v1"
	LabelBinding = "fulcrum endpoint binding v1"
	LabelIntent  = "fulcrum intent v1"
	LabelMuster  = "fulcrum muster v1"
	LabelService = "fulcrum service v1: " // followed by the service's API and its own label
)

// Labelled is what is signed when msg is signed under label.
func Labelled(label string, msg []byte) []byte {
	b := make([]byte, 0, 8+len(label)+len(msg))
	b = AppendField(b, []byte(label))
	return AppendField(b, msg)
}

// Revision orders the states of a registry: (flock, epoch, n). Revisions of
// different flocks are not comparable.
type Revision struct {
	Flock FlockID
	Epoch uint64
	N     uint64
}

// Before says whether r is an older state of the same flock than o.
func (r Revision) Before(o Revision) bool {
	return r.Flock == o.Flock && (r.Epoch < o.Epoch || r.Epoch == o.Epoch && r.N < o.N)
}

// Digest is a node's word on all of its rows at once: what it has, and that it
// still has it. One a node and interval renews every row's lease.
type Digest struct {
	Node        NodeID
	Incarnation uint64
	Seq         uint64 // the highest sequence that the node has given a row
	Count       uint32 // of its rows that are not Gone
	Hash        [16]byte
	// Complete says that the set is all that the node has: rows of it that are
	// not among them, of earlier incarnations too, are gone. A node that has
	// just started is not complete until it has found its services again.
	Complete  bool
	TTL       time.Duration
	Signature []byte // by the node key over SignedBytes, label LabelDigest
}

// Newer says whether d is the node's later word than o.
func (d *Digest) Newer(o *Digest) bool {
	if d.Incarnation != o.Incarnation {
		return d.Incarnation > o.Incarnation
	}
	return d.Seq > o.Seq
}

// SignedBytes is the digest without its signature, as the node signs it.
func (d *Digest) SignedBytes() []byte {
	b := AppendField(make([]byte, 0, 80), d.Node[:])
	b = binary.BigEndian.AppendUint64(b, d.Incarnation)
	b = binary.BigEndian.AppendUint64(b, d.Seq)
	b = binary.BigEndian.AppendUint32(b, d.Count)
	b = append(b, d.Hash[:]...)
	if d.Complete {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return binary.BigEndian.AppendUint64(b, uint64(d.TTL))
}

// SetHash is the contribution of the row to the hash of the set that it is in:
// the exclusive or of those of all rows that are not Gone.
func (r *Row) SetHash() (h [16]byte) {
	b := AppendField(make([]byte, 0, 128), []byte(r.Horde))
	b = AppendField(b, []byte(r.Inst))
	b = AppendField(b, []byte(r.NetID))
	b = binary.BigEndian.AppendUint64(b, r.Incarnation)
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	sum := sha256.Sum256(b)
	copy(h[:], sum[:])
	return h
}
