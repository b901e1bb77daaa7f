package route

import (
	"encoding/binary"
	"net/netip"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/codec"
)

// CardLabel is the label under which the node key signs a Card.
const CardLabel = crux.LabelService + "lashup1 card"

// Card introduces one incarnation of a node's lashup process: where it is
// reached, and the public keys that it made at its start. It is signed by the
// node key. A Card is immutable.
type Card struct {
	Node crux.NodeID
	// Epoch is the incarnation: greater than that of any earlier process of
	// this node. Seq is greater in a newer card of the same epoch (the address
	// changed).
	Epoch uint64
	Seq   uint32
	Inst  crux.Inst      // the version that runs
	Addr  netip.AddrPort // datagrams
	Link  netip.AddrPort // the pinned stream listener
	// Session verifies the process's adjacencies and multicasts (Ed25519);
	// Exchange makes pairwise keys for datagrams (X25519).
	Session  [32]byte
	Exchange [32]byte
	Sig      [64]byte // of SignedBytes, by the node key under CardLabel
}

// Newer says whether c supersedes o, which may be nil.
func (c *Card) Newer(o *Card) bool {
	return o == nil || c.Epoch > o.Epoch || c.Epoch == o.Epoch && c.Seq > o.Seq
}

// SignedBytes is what Sig signs: all fields before it.
func (c *Card) SignedBytes() []byte {
	b := make([]byte, 0, 192)
	b = append(b, c.Node[:]...)
	b = binary.BigEndian.AppendUint64(b, c.Epoch)
	b = binary.BigEndian.AppendUint32(b, c.Seq)
	return c.appendRest(b)
}

// Size is the length of what Append appends, in bytes.
func (c *Card) Size() int {
	return 8 + codec.UvarintSize(c.Epoch) + codec.UvarintSize(uint64(c.Seq)) + c.restSize() + len(c.Sig)
}

// Append appends the card's encoding: node (8 bytes), epoch and sequence number
// (uvarints), the version (length and bytes), the two addresses, the two keys
// and the signature.
func (c *Card) Append(b []byte) []byte {
	b = append(b, c.Node[:]...)
	b = binary.AppendUvarint(b, c.Epoch)
	b = binary.AppendUvarint(b, uint64(c.Seq))
	b = c.appendRest(b)
	return append(b, c.Sig[:]...)
}

// DecodeCard reads what Append wrote; there must be nothing left over. Errors
// are of kind Invalid. The signature is not checked.
func DecodeCard(b []byte) (*Card, error) {
	r := reader{codec.NewReader(b)}
	c := new(Card)
	c.Node = r.Node()
	c.Epoch = r.Uvarint()
	c.Seq = r.Uvarint32()
	c.readRest(&r)
	if !r.Done() {
		return nil, crux.Errorf("decode card", crux.Invalid, "%d bytes are not a card", len(b))
	}
	return c, nil
}

// appendRest appends what is in every encoding: all but the identity, which an
// adjacency has already, and the signature.
func (c *Card) appendRest(b []byte) []byte {
	b = append(b, byte(len(c.Inst)))
	b = append(b, c.Inst...)
	b = appendAddr(b, c.Addr)
	b = appendAddr(b, c.Link)
	b = append(b, c.Session[:]...)
	return append(b, c.Exchange[:]...)
}

func (c *Card) restSize() int {
	return 1 + len(c.Inst) + addrSize(c.Addr) + addrSize(c.Link) + len(c.Session) + len(c.Exchange)
}

// readRest reads appendRest's bytes and the signature.
func (c *Card) readRest(r *reader) {
	n := int(r.Byte())
	r.Check(n <= maxInst)
	c.Inst = crux.Inst(r.Take(n))
	c.Addr = r.addr()
	c.Link = r.addr()
	r.Copy(c.Session[:])
	r.Copy(c.Exchange[:])
	r.Copy(c.Sig[:])
}

// maxInst is the longest name of a version in a card, in bytes.
const maxInst = 128
