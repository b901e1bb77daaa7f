package route

import (
	"encoding/binary"
	"net/netip"

	"fulcrum.example/crux"
)

// reader walks over bytes from outside. After the first fault it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	f := r.b[:n]
	r.b = r.b[n:]
	return f
}

func (r *reader) copy(to []byte) { copy(to, r.take(len(to))) }

func (r *reader) byte() byte {
	if f := r.take(1); f != nil {
		return f[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if f := r.take(8); f != nil {
		return binary.BigEndian.Uint64(f)
	}
	return 0
}

// uvarint reads a number in its shortest form; any other is a fault.
func (r *reader) uvarint() uint64 {
	if r.bad {
		return 0
	}
	x, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) uint32() uint32 {
	x := r.uvarint()
	if x > 1<<32-1 {
		r.bad = true
		return 0
	}
	return uint32(x)
}

// count reads the number of items that follow, each of at least size bytes.
func (r *reader) count(most, size int) int {
	n := r.uvarint()
	if n > uint64(most) || n*uint64(size) > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) node() (id crux.NodeID) {
	r.copy(id[:])
	return id
}

// addr reads the length of the IP (0, 4 or 16), the IP and the port. An IPv4
// address has one form only.
func (r *reader) addr() netip.AddrPort {
	n := int(r.byte())
	if n == 0 {
		return netip.AddrPort{}
	}
	a, ok := netip.AddrFromSlice(r.take(n))
	p := r.take(2)
	if r.bad || !ok || a.Is4In6() {
		r.bad = true
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

func uvarintSize(x uint64) int {
	n := 1
	for ; x >= 0x80; x >>= 7 {
		n++
	}
	return n
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
	b = binary.AppendUvarint(b, uint64(len(a.Edges)))
	for i := range a.Edges {
		b = append(b, a.Edges[i][:]...)
	}
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
	n := 1 + 8 + uvarintSize(a.Epoch) + uvarintSize(a.Clock) +
		uvarintSize(uint64(len(a.Edges))) + 8*len(a.Edges) + uvarintSize(uint64(len(a.Cuts))) + 9*len(a.Cuts) +
		uvarintSize(uint64(a.cardSeq())) + len(a.Sig)
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
	m := r.byte()
	a.Leaving, a.Master = m&markLeaving != 0, m&markMaster != 0
	if card := m &^ (markLeaving | markMaster); card != markCard && card != markBare {
		r.bad = true
	}
	a.Node = r.node()
	a.Epoch, a.Clock = r.uvarint(), r.uvarint()
	if n := r.count(MaxEdges, 8); n > 0 {
		a.Edges = make([]crux.NodeID, n)
		for i := range a.Edges {
			a.Edges[i] = r.node()
		}
	}
	if n := r.count(MaxCuts, 9); n > 0 {
		a.Cuts = make([]Cut, n)
		for i := range a.Cuts {
			a.Cuts[i] = Cut{r.node(), Why(r.byte())}
		}
	}
	a.bare = r.uint32()
	if m&markCard != 0 {
		a.Card = &Card{Node: a.Node, Epoch: a.Epoch, Seq: a.bare}
		a.Card.readRest(r)
		a.bare = 0
	}
	r.copy(a.Sig[:])
	return a
}

// minAdjacency is the least size of one, in bytes.
const minAdjacency = 1 + 8 + 1 + 1 + 1 + 1 + 1 + 64
