package route

import (
	"encoding/binary"
	"net/netip"

	"fulcrum.example/lashup/codec"
)

// reader walks over bytes from outside.
type reader struct{ codec.Reader }

// addr reads the length of the IP (0, 4 or 16), the IP and the port. An IPv4
// address has one form only.
func (r *reader) addr() netip.AddrPort {
	n := int(r.Byte())
	if n == 0 {
		return netip.AddrPort{}
	}
	a, ok := netip.AddrFromSlice(r.Take(n))
	p := r.Take(2)
	if r.Check(ok && !a.Is4In6()); r.Bad() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(p))
}

func appendAddr(b []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(b, 0)
	}
	ip := a.Addr().Unmap()
	b = append(b, byte(ip.BitLen()/8))
	if ip.Is4() {
		x := ip.As4()
		b = append(b, x[:]...)
	} else {
		x := ip.As16()
		b = append(b, x[:]...)
	}
	return binary.BigEndian.AppendUint16(b, a.Port())
}

func addrSize(a netip.AddrPort) int {
	if !a.IsValid() {
		return 1
	}
	return 1 + a.Addr().Unmap().BitLen()/8 + 2
}

// Marks of an adjacency on the wire, and in what is signed (without markCard and
// markBare).
const (
	markLeaving = 1 << iota
	markMaster
	markCard // the card follows
	markBare // the card was left out: the receiver has it
)

func (a *Adjacency) marks() (m byte) {
	if a.Leaving {
		m |= markLeaving
	}
	if a.Master {
		m |= markMaster
	}
	return m
}

// appendHead appends what is signed, but for the marks and the card's number.
func (a *Adjacency) appendHead(b []byte) []byte {
	b = append(b, a.Node[:]...)
	b = binary.AppendUvarint(b, a.Epoch)
	b = binary.AppendUvarint(b, a.Clock)
	b = codec.AppendNodes(binary.AppendUvarint(b, uint64(len(a.Edges))), a.Edges)
	b = binary.AppendUvarint(b, uint64(len(a.Cuts)))
	for i := range a.Cuts {
		b = append(b, a.Cuts[i].Node[:]...)
		b = append(b, byte(a.Cuts[i].Why))
	}
	return b
}

// Size is the length of the adjacency's encoding with its card, in bytes: what
// it takes in the database.
func (a *Adjacency) Size() int { return a.size(false) }

func (a *Adjacency) size(bare bool) int {
	n := 1 + 8 + codec.UvarintSize(a.Epoch) + codec.UvarintSize(a.Clock) +
		codec.UvarintSize(uint64(len(a.Edges))) + 8*len(a.Edges) + codec.UvarintSize(uint64(len(a.Cuts))) + 9*len(a.Cuts) +
		codec.UvarintSize(uint64(a.cardSeq())) + len(a.Sig)
	if !bare && a.Card != nil {
		n += a.Card.restSize() + len(a.Card.Sig)
	}
	return n
}

// append appends the adjacency: marks, node, epoch and clock, edges, cuts, the
// card's number and, unless bare, the card, and the signature.
func (a *Adjacency) append(b []byte, bare bool) []byte {
	bare = bare || a.Card == nil
	m := a.marks() | markCard
	if bare {
		m = a.marks() | markBare
	}
	b = append(b, m)
	b = a.appendHead(b)
	b = binary.AppendUvarint(b, uint64(a.cardSeq()))
	if !bare {
		b = a.Card.appendRest(b)
		b = append(b, a.Card.Sig[:]...)
	}
	return append(b, a.Sig[:]...)
}

// adjacency reads one; its Card is nil if it came bare.
func (r *reader) adjacency() *Adjacency {
	a := new(Adjacency)
	m := r.Byte()
	a.Leaving, a.Master = m&markLeaving != 0, m&markMaster != 0
	card := m &^ (markLeaving | markMaster)
	r.Check(card == markCard || card == markBare)
	a.Node = r.Node()
	a.Epoch, a.Clock = r.Uvarint(), r.Uvarint()
	a.Edges = r.Nodes(r.Count(MaxEdges, 8))
	if n := r.Count(MaxCuts, 9); n > 0 {
		a.Cuts = make([]Cut, n)
		for i := range a.Cuts {
			a.Cuts[i] = Cut{r.Node(), Why(r.Byte())}
		}
	}
	a.bare = r.Uvarint32()
	if m&markCard != 0 {
		a.Card = &Card{Node: a.Node, Epoch: a.Epoch, Seq: a.bare}
		a.Card.readRest(r)
		a.bare = 0
	}
	r.Copy(a.Sig[:])
	return a
}

// minAdjacency is the least size of one, in bytes.
const minAdjacency = 1 + 8 + 1 + 1 + 1 + 1 + 1 + 64
