package replica

import (
	"cmp"
	"encoding/binary"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/codec"
	"fulcrum.example/lashup/crdt"
)

// RoundID names a round. Of two rounds the greater counts.
type RoundID struct {
	Number   uint64
	Proposer crux.NodeID
}

// Compare orders rounds by number, then by proposer.
func (id RoundID) Compare(o RoundID) int {
	return cmp.Or(cmp.Compare(id.Number, o.Number), id.Proposer.Compare(o.Proposer))
}

func (id RoundID) hash() uint32 {
	if id.Number == 0 {
		return 0
	}
	return uint32(hashOf(id.append(nil)))
}

func (id RoundID) size() int { return codec.UvarintSize(id.Number) + len(id.Proposer) }

func (id RoundID) append(b []byte) []byte {
	return append(binary.AppendUvarint(b, id.Number), id.Proposer[:]...)
}

func (r *reader) roundID() RoundID {
	id := RoundID{r.Uvarint(), r.Node()}
	r.Check(id.Number < 1<<63 && (id.Number == 0) == id.Proposer.IsZero())
	return id
}

// Round proposes to settle Vector, what the proposer has received: every member
// says (Vouch) when it has all of that on its disk.
type Round struct {
	ID     RoundID
	Vector crdt.Context
	Close  []Closing // by node
}

// Closing says that the incarnations of a node before one have ended: what the
// Vector has of them is all that there is.
type Closing struct {
	Node   crux.NodeID
	Before uint64
}

// maxNodes bounds lists of nodes.
const maxNodes = 1 << 16

// Size is the length of the encoding.
func (m *Round) Size() int {
	n := 1 + m.ID.size() + contextLen(m.Vector) + codec.UvarintSize(uint64(len(m.Close)))
	for _, c := range m.Close {
		n += len(c.Node) + codec.UvarintSize(c.Before)
	}
	return n
}

// Append appends the encoding.
func (m *Round) Append(b []byte) []byte {
	b = appendContext(m.ID.append(append(b, kindRound)), m.Vector)
	b = binary.AppendUvarint(b, uint64(len(m.Close)))
	for _, c := range m.Close {
		b = binary.AppendUvarint(append(b, c.Node[:]...), c.Before)
	}
	return b
}

func (r *reader) round() *Round {
	m := &Round{ID: r.roundID(), Vector: r.context()}
	r.Check(m.ID.Number > 0)
	if n := r.Count(maxNodes, 9); n > 0 {
		m.Close = make([]Closing, n)
	}
	for i := range m.Close {
		m.Close[i] = Closing{r.Node(), r.Uvarint()}
		r.Check(m.Close[i].Before > 0 && m.Close[i].Before < 1<<63)
		r.Check(i == 0 || m.Close[i-1].Node.Compare(m.Close[i].Node) < 0)
	}
	return m
}

// Vouch says who has everything of a round.
type Vouch struct {
	ID    RoundID
	Words []Word
}

// Word is a member's: it has everything, and its own operations that did not know
// of everything are none after At.
type Word struct {
	Node crux.NodeID
	At   crdt.Mark
}

// Size is the length of the encoding.
func (m *Vouch) Size() int {
	n := 1 + m.ID.size() + codec.UvarintSize(uint64(len(m.Words)))
	for i := range m.Words {
		n += m.Words[i].size()
	}
	return n
}

func (w *Word) size() int {
	return len(w.Node) + codec.UvarintSize(w.At.Incarnation) + codec.UvarintSize(w.At.Seq)
}

// Append appends the encoding.
func (m *Vouch) Append(b []byte) []byte {
	b = binary.AppendUvarint(m.ID.append(append(b, kindVouch)), uint64(len(m.Words)))
	for i := range m.Words {
		w := &m.Words[i]
		b = binary.AppendUvarint(append(b, w.Node[:]...), w.At.Incarnation)
		b = binary.AppendUvarint(b, w.At.Seq)
	}
	return b
}

func (r *reader) vouch() *Vouch {
	m := &Vouch{ID: r.roundID()}
	r.Check(m.ID.Number > 0)
	if n := r.Count(maxNodes, 10); n > 0 {
		m.Words = make([]Word, n)
	}
	for i := range m.Words {
		m.Words[i] = Word{r.Node(), crdt.Mark{Incarnation: r.Uvarint(), Seq: r.Uvarint()}}
		r.Check(m.Words[i].At.Incarnation < 1<<63 && m.Words[i].At.Seq < 1<<63)
	}
	return m
}

// Settled is a round that has ended: every member had all of Vector, and its own
// operations that did not know of that are in Own.
type Settled struct {
	ID          RoundID
	Vector, Own crdt.Context
}

// Size is the length of the encoding.
func (m *Settled) Size() int { return 1 + m.bodyLen() }

func (m *Settled) bodyLen() int { return m.ID.size() + contextLen(m.Vector) + contextLen(m.Own) }

// Append appends the encoding.
func (m *Settled) Append(b []byte) []byte { return m.appendBody(append(b, kindSettled)) }

func (m *Settled) appendBody(b []byte) []byte {
	return appendContext(appendContext(m.ID.append(b), m.Vector), m.Own)
}

func (r *reader) settled() *Settled {
	m := &Settled{r.roundID(), r.context(), r.context()}
	r.Check(m.ID.Number > 0)
	return m
}

// Status says which rounds the sender knows: the last that ended, and the latest.
type Status struct {
	Answer         bool
	Settled, Round RoundID
}

// Size is the length of the encoding.
func (m *Status) Size() int { return 1 + 1 + m.Settled.size() + m.Round.size() }

// Append appends the encoding.
func (m *Status) Append(b []byte) []byte {
	return m.Round.append(m.Settled.append(append(b, kindStatus, bit(m.Answer, 1))))
}

func (r *reader) status() *Status {
	return &Status{r.flags(1) == 1, r.roundID(), r.roundID()}
}

// Ask asks for the last round that ended, or for the latest.
type Ask struct{ Settled, Round bool }

// Size is the length of the encoding.
func (m *Ask) Size() int { return 2 }

// Append appends the encoding.
func (m *Ask) Append(b []byte) []byte { return append(b, kindAsk, bit(m.Settled, 1)|bit(m.Round, 2)) }

func (r *reader) ask() *Ask {
	f := r.flags(3)
	return &Ask{f&1 != 0, f&2 != 0}
}
