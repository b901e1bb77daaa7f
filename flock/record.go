package flock

import (
	"encoding/binary"
	"net/netip"

	"fulcrum.example/crux"
)

// Record is a node's signed word about itself: who and where it is, and which
// flock it is in. Of one node the higher (Incarnation, Seq) counts. A Record is
// immutable once it is signed, and shared by pointer.
//
// On the wire it is Key 32, Addr, Incarnation 8, Seq 8, Exchange 32, Flock 16,
// Bloc 8, Signature 64; ID is derived from Key. In the pages of a list the Flock
// is left out, because it is the page's.
type Record struct {
	ID          crux.NodeID // crux.NodeIDOf(Key): set by whoever decodes or makes the record
	Key         [32]byte    // Ed25519 public key: the node key
	Addr        netip.AddrPort
	Incarnation uint64       // grows with every start of the node's process
	Seq         uint64       // grows with every record of an incarnation
	Exchange    [32]byte     // X25519 public key of this incarnation, for pairwise keys
	Flock       crux.FlockID // the flock that the node is in, or asks to be in
	Bloc        uint64       // version of the bloc file it holds
	Signature   [64]byte     // by Key over crux.Labelled(crux.LabelRecord, SignedBytes)
}

// Newer says whether r is the node's later word than o.
func (r *Record) Newer(o *Record) bool {
	if r.Incarnation != o.Incarnation {
		return r.Incarnation > o.Incarnation
	}
	return r.Seq > o.Seq
}

// Size is the length of the record on the wire, in bytes.
func (r *Record) Size() int { return 32 + addrSize(r.Addr) + 8 + 8 + 32 + 16 + 8 + 64 }

// SignedBytes is the record without its signature, as its subject signs it:
// every field length-prefixed or of fixed length, bound to a bloc and a flock
// name.
func (r *Record) SignedBytes(bloc crux.BlocID, name string) []byte {
	b := make([]byte, 0, 256)
	b = crux.AppendField(b, []byte(bloc))
	b = crux.AppendField(b, []byte(name))
	b = crux.AppendField(b, r.Key[:])
	ap, _ := r.Addr.MarshalBinary() // cannot fail
	b = crux.AppendField(b, ap)
	b = binary.BigEndian.AppendUint64(b, r.Incarnation)
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	b = crux.AppendField(b, r.Exchange[:])
	b = crux.AppendField(b, r.Flock[:])
	return binary.BigEndian.AppendUint64(b, r.Bloc)
}

// addrSize is the length of an address on the wire: one byte for the length of
// the IP (0, 4 or 16), the IP, and two for the port. Zones do not travel.
func addrSize(a netip.AddrPort) int {
	switch {
	case !a.Addr().IsValid():
		return 3
	case a.Addr().Is4():
		return 7
	}
	return 19
}
