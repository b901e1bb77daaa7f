package cast

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/codec"
)

// Body is what the origin made and signed. It is immutable, and shared by all
// copies in one process.
type Body struct {
	ID      ID
	Topic   string
	Record  bool          // record the route
	TTL     uint32        // 0: no limit
	Roots   []crux.NodeID // of the trees of its copies; none: the origin's tree
	Only    []crux.NodeID // whom it is for, ascending; none: everybody
	Raw     uint32        // the payload's length before it was compressed; 0: it is not
	Payload []byte        // as it travels
	Sig     [64]byte      // of SignedBytes, by the origin's session key

	// What is computed once for all copies. Only the goroutine that owns the
	// Casts reads or writes it. The expanded payload is not kept: it may be a
	// thousand times as long as what a Cast counts.
	signed []byte
}

const (
	markRecord = 1 << iota
	markRaw
)

// SignedBytes is what Sig signs: a label that keeps it apart from all else that
// the session key signs, the fields before the payload, and the payload's
// SHA-256.
func (m *Body) SignedBytes() []byte {
	if m.signed == nil {
		b := crux.AppendField(make([]byte, 0, m.size()-len(m.Payload)+64), []byte("lashup1 cast"))
		b = m.appendHead(b)
		sum := sha256.Sum256(m.Payload)
		m.signed = append(b, sum[:]...)
	}
	return m.signed
}

// root gives the root of the copy's tree.
func (m *Body) root(i uint8) crux.NodeID {
	if len(m.Roots) == 0 {
		return m.ID.Origin
	}
	return m.Roots[i]
}

// meant says whether the message is for a node.
func (m *Body) meant(id crux.NodeID) bool {
	if len(m.Only) == 0 {
		return true
	}
	_, ok := slices.BinarySearchFunc(m.Only, id, crux.NodeID.Compare)
	return ok
}

func (m *Body) size() int {
	n := m.ID.size() + 1 + 1 + len(m.Topic) + codec.UvarintSize(uint64(m.TTL)) + idsSize(m.Roots) + idsSize(m.Only)
	if m.Raw > 0 {
		n += codec.UvarintSize(uint64(m.Raw))
	}
	return n + codec.UvarintSize(uint64(len(m.Payload))) + len(m.Payload) + len(m.Sig)
}

// append appends the ID, the marks, the topic, the time to live, roots and
// receivers, the payload's length before compression if it is compressed, the
// payload, and the signature.
func (m *Body) append(b []byte) []byte {
	b = m.appendHead(b)
	b = append(b, m.Payload...)
	return append(b, m.Sig[:]...)
}

func (m *Body) appendHead(b []byte) []byte {
	b = m.ID.append(b)
	var marks byte
	if m.Record {
		marks |= markRecord
	}
	if m.Raw > 0 {
		marks |= markRaw
	}
	b = append(b, marks, byte(len(m.Topic)))
	b = append(b, m.Topic...)
	b = binary.AppendUvarint(b, uint64(m.TTL))
	b = appendIDs(b, m.Roots)
	b = appendIDs(b, m.Only)
	if m.Raw > 0 {
		b = binary.AppendUvarint(b, uint64(m.Raw))
	}
	return binary.AppendUvarint(b, uint64(len(m.Payload)))
}

func (r *reader) body() *Body {
	m := &Body{ID: r.id()}
	marks := r.Byte()
	m.Record = marks&markRecord != 0
	n := int(r.Byte())
	m.Topic = string(r.Take(n))
	ttl := r.Uvarint()
	m.TTL = uint32(ttl)
	m.Roots = r.ids(MaxFanout)
	m.Only = r.ids(MaxOnly)
	if marks&markRaw != 0 {
		raw := r.Uvarint()
		m.Raw = uint32(raw)
		r.Check(raw > 0 && raw <= MaxPayload)
	}
	m.Payload = r.Take(r.Count(MaxPayload, 1))
	copy(m.Sig[:], r.Take(len(m.Sig)))
	r.Check(marks <= markRecord|markRaw && n > 0 && n <= MaxTopic && ttl <= MaxTTL && m.ID.Seq > 0 && !m.ID.Origin.IsZero())
	for i := 1; i < len(m.Only); i++ {
		r.Check(m.Only[i-1].Compare(m.Only[i]) < 0)
	}
	return m
}
