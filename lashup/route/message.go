package route

import (
	"encoding/binary"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/codec"
)

// The kinds of messages: the first byte of each.
const (
	kindDigest  = 0x30
	kindBuckets = 0x31
	kindSummary = 0x32
	kindWant    = 0x33
	kindRows    = 0x34
	kindNews    = 0x35
)

// Bounds of messages; longer ones are not made, and refused.
const (
	maxStamps = 2048 // in a Summary: some 26 kB
	maxWant   = 128  // in a Want, and in the Rows that answer it: some 40 kB
	maxNews   = 128
	maxBits   = 8 // of the number of buckets
)

// Message is one frame between neighbours. It is immutable once sent.
type Message interface {
	Size() int              // the length of the encoding, in bytes
	Append(b []byte) []byte // appends the encoding
}

// Digest says what the sender's table amounts to. A receiver that has another one
// pulls what it lacks, and answers with its own digest (once), so that the
// sender can do the same.
type Digest struct {
	Hash   uint64 // Table.Hash
	Count  uint32 // of rows
	Answer bool
}

// Buckets begins a pull: hashes of the sender's rows by the first bits of their
// node IDs; 2^k of them, k at most 8. The Summary that answers names the
// receiver's rows in those buckets that differ.
type Buckets struct{ Sums []uint64 }

// Stamp is what a row's newness depends on.
type Stamp struct {
	Node         crux.NodeID
	Epoch, Clock uint64
}

// Summary lists rows of the sender, ascending by node. The last one of an answer
// has More false.
type Summary struct {
	Stamps []Stamp
	More   bool
}

// Want asks for rows, ascending.
type Want struct{ Nodes []crux.NodeID }

// Rows answers a Want: those of the rows that the sender has.
type Rows struct{ Adjacencies []*Adjacency }

// News carries changes, as they flood from link to link.
type News struct{ Items []Item }

// Item is one change. Bare leaves the card out on the wire: the receiver most
// likely has it, and asks by Want if it has not.
type Item struct {
	Adjacency *Adjacency
	Bare      bool
}

// Decode reads one message; there must be nothing left over. Errors are of kind
// Invalid.
func Decode(b []byte) (Message, error) {
	r := reader{codec.NewReader(b)}
	var m Message
	switch r.Byte() {
	case kindDigest:
		m = r.digest()
	case kindBuckets:
		m = r.buckets()
	case kindSummary:
		m = r.summary()
	case kindWant:
		m = r.want()
	case kindRows:
		m = r.rows()
	case kindNews:
		m = r.news()
	default:
		return nil, crux.Errorf("decode route message", crux.Invalid, "it is of no kind that this version knows")
	}
	if !r.Done() {
		return nil, crux.Errorf("decode route message", crux.Invalid, "%d bytes of kind %#x are malformed", len(b), b[0])
	}
	return m, nil
}

// Size and Append of each message.

func (m *Digest) Size() int { return 1 + 8 + codec.UvarintSize(uint64(m.Count)) + 1 }

func (m *Digest) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, kindDigest), m.Hash)
	b = binary.AppendUvarint(b, uint64(m.Count))
	return codec.AppendFlag(b, m.Answer)
}

func (r *reader) digest() *Digest {
	return &Digest{Hash: r.Uint64(), Count: r.Uvarint32(), Answer: r.Flag()}
}

func (m *Buckets) Size() int { return 1 + 1 + 8*len(m.Sums) }

func (m *Buckets) Append(b []byte) []byte {
	b = append(b, kindBuckets, byte(log2(len(m.Sums))))
	for _, s := range m.Sums {
		b = binary.BigEndian.AppendUint64(b, s)
	}
	return b
}

func (r *reader) buckets() *Buckets {
	k := r.Byte()
	if r.Check(k <= maxBits && r.Len() == 8<<k); r.Bad() {
		return nil
	}
	m := &Buckets{Sums: make([]uint64, 1<<k)}
	for i := range m.Sums {
		m.Sums[i] = r.Uint64()
	}
	return m
}

func (m *Summary) Size() int {
	n := 1 + 1 + codec.UvarintSize(uint64(len(m.Stamps)))
	for i := range m.Stamps {
		n += 8 + codec.UvarintSize(m.Stamps[i].Epoch) + codec.UvarintSize(m.Stamps[i].Clock)
	}
	return n
}

func (m *Summary) Append(b []byte) []byte {
	b = codec.AppendFlag(append(b, kindSummary), m.More)
	b = binary.AppendUvarint(b, uint64(len(m.Stamps)))
	for i := range m.Stamps {
		b = append(b, m.Stamps[i].Node[:]...)
		b = binary.AppendUvarint(b, m.Stamps[i].Epoch)
		b = binary.AppendUvarint(b, m.Stamps[i].Clock)
	}
	return b
}

func (r *reader) summary() *Summary {
	m := &Summary{More: r.Flag()}
	m.Stamps = make([]Stamp, r.Count(maxStamps, 10))
	for i := range m.Stamps {
		m.Stamps[i] = Stamp{r.Node(), r.Uvarint(), r.Uvarint()}
		r.Check(i == 0 || m.Stamps[i-1].Node.Compare(m.Stamps[i].Node) < 0)
	}
	return m
}

func (m *Want) Size() int { return 1 + codec.UvarintSize(uint64(len(m.Nodes))) + 8*len(m.Nodes) }

func (m *Want) Append(b []byte) []byte {
	return codec.AppendNodes(binary.AppendUvarint(append(b, kindWant), uint64(len(m.Nodes))), m.Nodes)
}

func (r *reader) want() *Want {
	m := &Want{Nodes: r.Nodes(r.Count(maxWant, 8))}
	r.Check(ascending(m.Nodes))
	return m
}

func (m *Rows) Size() int {
	n := 1 + codec.UvarintSize(uint64(len(m.Adjacencies)))
	for _, a := range m.Adjacencies {
		n += a.size(false)
	}
	return n
}

func (m *Rows) Append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, kindRows), uint64(len(m.Adjacencies)))
	for _, a := range m.Adjacencies {
		b = a.append(b, false)
	}
	return b
}

func (r *reader) rows() *Rows {
	m := &Rows{Adjacencies: make([]*Adjacency, r.Count(maxWant, minAdjacency))}
	for i := range m.Adjacencies {
		m.Adjacencies[i] = r.adjacency()
		r.check(m.Adjacencies[i], false)
	}
	return m
}

func (m *News) Size() int {
	n := 1 + codec.UvarintSize(uint64(len(m.Items)))
	for _, it := range m.Items {
		n += it.Adjacency.size(it.Bare)
	}
	return n
}

func (m *News) Append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, kindNews), uint64(len(m.Items)))
	for _, it := range m.Items {
		b = it.Adjacency.append(b, it.Bare)
	}
	return b
}

func (r *reader) news() *News {
	m := &News{Items: make([]Item, r.Count(maxNews, minAdjacency))}
	for i := range m.Items {
		a := r.adjacency()
		m.Items[i] = Item{a, a.Card == nil}
		r.check(a, true)
	}
	return m
}

// check refuses an adjacency that no table could take.
func (r *reader) check(a *Adjacency, bareAllowed bool) {
	switch {
	case r.Bad():
	case a.Card == nil && bareAllowed:
		r.Check(a.wellFormed() == "")
	default:
		r.Check(a.valid() == "")
	}
}

// log2 is the number of bits below n, a power of two.
func log2(n int) int {
	k := 0
	for n > 1 {
		n >>= 1
		k++
	}
	return k
}
