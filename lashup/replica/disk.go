package replica

import (
	"encoding/binary"
	"slices"

	"fulcrum.example/crux"
)

// The kinds of lines on disk: the first byte of their keys.
//
//	k key          generation, proof or nothing, state
//	d key number(8)   the same, of a delta of the state: see deltas.go
//	v node(8)      generation, what was received of the node
//	c node(8) incarnation(8)   card
//	s              the round that was settled last
//	w              the rounds that this node has vouched for
//	g              the generation, and whether it is being fetched
//
// Lines that nothing was ever said in are left out. The generation grows when the
// replica starts over (resync.go).
const (
	lineKey    = 'k'
	lineDelta  = 'd'
	lineVector = 'v'
	lineCard   = 'c'
	lineSettle = 's'
	lineWords  = 'w'
	lineGen    = 'g'
)

// line is what a line holds now: nil if there is no such line.
func (r *Replica) line(key string) []byte {
	rest := key[1:]
	switch key[0] {
	case lineKey:
		if rec := r.find(rest); rec != nil {
			return r.recordLine(rec)
		}
	case lineDelta:
		return r.disk.deltas[key]
	case lineVector:
		var id crux.NodeID
		copy(id[:], rest)
		if seen := r.durable.seen(id); !seen.Empty() {
			return seen.Append(binary.AppendUvarint(nil, uint64(r.gen)))
		}
	case lineCard:
		if k := r.cards[readCardID(rest)]; k != nil && k.saved {
			return k.data
		}
	case lineSettle:
		if r.settle.base.ID.Number > 0 {
			return r.settle.base.appendBody(nil)
		}
	case lineWords:
		return r.settle.appendVouched(nil)
	case lineGen:
		return []byte{bit(r.resync, 1), byte(r.gen >> 8), byte(r.gen)}
	}
	return nil
}

// cardKeySize is the length of cardID.lineKey.
const cardKeySize = len(crux.NodeID{}) + 8

func (id cardID) lineKey() string {
	return string(binary.BigEndian.AppendUint64(slices.Clone(id.node[:]), id.incarnation))
}

func readCardID(s string) (id cardID) {
	copy(id.node[:], s)
	id.incarnation = binary.BigEndian.Uint64([]byte(s[len(id.node):]))
	return id
}

func (r *Replica) recordLine(rec *record) []byte {
	return append(r.appendHead(nil, rec), r.encoded(rec)...)
}

// appendHead appends what comes before the state in a line.
func (r *Replica) appendHead(b []byte, rec *record) []byte {
	b = binary.AppendUvarint(b, uint64(rec.gen))
	if p := rec.proof; p == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		b = binary.AppendUvarint(b, p.mark.Incarnation)
		b = binary.AppendUvarint(b, p.mark.Seq)
		b = binary.AppendUvarint(b, uint64(p.batch.leaves))
		b = binary.AppendUvarint(b, uint64(p.leaf))
		b = append(b, p.batch.sig[:]...)
		b = binary.AppendUvarint(b, uint64(len(p.path)))
		for i := range p.path {
			b = append(b, p.path[i][:]...)
		}
	}
	return b
}
