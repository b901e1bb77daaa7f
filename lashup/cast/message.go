package cast

import (
	"encoding/binary"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/codec"
)

// The kinds of messages: the first byte of each.
const (
	kindPush  = 0x40
	kindIHave = 0x41
	kindGraft = 0x42
)

// Bounds of messages; longer ones are not made, and refused.
const (
	maxGroups = 1024
	maxIDs    = 1024 // in an IHave or a Graft
)

// Message is one frame between neighbours. It is immutable once sent.
type Message interface {
	Size() int              // the length of the encoding, in bytes
	Append(b []byte) []byte // appends the encoding
}

// Push is a copy of a message on its way.
type Push struct {
	Body  *Body
	Root  uint8         // which of the body's roots this copy's tree has
	Hops  uint32        // from the origin to the receiver, at least 1
	Route []crux.NodeID // if recorded: from the origin to the sender, both included
}

// IHave announces messages that the sender keeps, grouped by origin.
type IHave struct{ Groups []Group }

// Group is a set of messages of one origin's incarnation.
type Group struct {
	Origin crux.NodeID
	Epoch  uint64
	Items  []Item // ascending by Seq
}

// Item is one of them. Age is how long ago the sender first had it, in tenths
// of a second, at most 255.
type Item struct {
	Seq uint64
	Age uint8
}

// Graft asks for messages that were announced.
type Graft struct{ IDs []ID }

// Decode reads one message; there must be nothing left over. The message shares
// b, which must not be changed any more. Errors are of kind Invalid.
func Decode(b []byte) (Message, error) {
	r := reader{codec.NewReader(b)}
	var m Message
	switch r.Byte() {
	case kindPush:
		m = r.push()
	case kindIHave:
		m = r.ihave()
	case kindGraft:
		m = r.graft()
	default:
		return nil, crux.Errorf("decode cast message", crux.Invalid, "it is of no kind that this version knows")
	}
	if !r.Done() {
		return nil, crux.Errorf("decode cast message", crux.Invalid, "%d bytes of kind %#x are malformed", len(b), b[0])
	}
	return m, nil
}

// Size is the length of the encoding, in bytes.
func (m *Push) Size() int {
	return 1 + 1 + codec.UvarintSize(uint64(m.Hops)) + idsSize(m.Route) + m.Body.size()
}

// Append appends the encoding: the root's number, hops, the route, the body.
func (m *Push) Append(b []byte) []byte {
	b = append(b, kindPush, m.Root)
	b = binary.AppendUvarint(b, uint64(m.Hops))
	b = appendIDs(b, m.Route)
	return m.Body.append(b)
}

func (r *reader) push() *Push {
	m := &Push{Root: r.Byte()}
	hops := r.Uvarint()
	m.Hops = uint32(hops)
	m.Route = r.ids(MaxRoute)
	m.Body = r.body()
	r.Check(hops > 0 && hops <= MaxTTL && int(m.Root) < max(1, len(m.Body.Roots)))
	return m
}

// Size is the length of the encoding, in bytes.
func (m *IHave) Size() int {
	n := 1 + codec.UvarintSize(uint64(len(m.Groups)))
	for _, g := range m.Groups {
		n += 8 + codec.UvarintSize(g.Epoch) + codec.UvarintSize(uint64(len(g.Items)))
		last := uint64(0)
		for _, it := range g.Items {
			n += codec.UvarintSize(it.Seq-last) + 1
			last = it.Seq
		}
	}
	return n
}

// Append appends the encoding. Sequence numbers are differences, at least 1.
func (m *IHave) Append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, kindIHave), uint64(len(m.Groups)))
	for _, g := range m.Groups {
		b = append(b, g.Origin[:]...)
		b = binary.AppendUvarint(b, g.Epoch)
		b = binary.AppendUvarint(b, uint64(len(g.Items)))
		last := uint64(0)
		for _, it := range g.Items {
			b = append(binary.AppendUvarint(b, it.Seq-last), it.Age)
			last = it.Seq
		}
	}
	return b
}

func (r *reader) ihave() *IHave {
	m := &IHave{Groups: make([]Group, r.Count(maxGroups, 12))}
	total := 0
	for i := range m.Groups {
		g := &m.Groups[i]
		g.Origin, g.Epoch = r.Node(), r.Uvarint()
		g.Items = make([]Item, r.Count(maxIDs, 2))
		total += len(g.Items)
		r.Check(len(g.Items) > 0 && total <= maxIDs)
		last := uint64(0)
		for k := range g.Items {
			d := r.Uvarint()
			r.Check(d > 0 && last+d > last)
			last += d
			g.Items[k] = Item{last, r.Byte()}
		}
		if r.Bad() {
			return m
		}
	}
	return m
}

// Size is the length of the encoding, in bytes.
func (m *Graft) Size() int {
	n := 1 + codec.UvarintSize(uint64(len(m.IDs)))
	for _, id := range m.IDs {
		n += id.size()
	}
	return n
}

// Append appends the encoding.
func (m *Graft) Append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, kindGraft), uint64(len(m.IDs)))
	for _, id := range m.IDs {
		b = id.append(b)
	}
	return b
}

func (r *reader) graft() *Graft {
	m := &Graft{IDs: make([]ID, r.Count(maxIDs, 10))}
	for i := range m.IDs {
		m.IDs[i] = r.id()
	}
	return m
}
