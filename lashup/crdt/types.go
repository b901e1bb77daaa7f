package crdt

import (
	"cmp"
	"fmt"

	"fulcrum.example/crux"
)

// Type is the type of a value, of a map's field and of the operations on them.
type Type uint8

// The types. Zero is no type: that of an absent value and of Reset.
const (
	Counter         Type = iota + 1 // a sum of increments, reset exactly
	AddWinsSet                      // of a concurrent add and remove, the add stays
	RemoveWinsSet                   // of a concurrent add and remove, the remove stays
	EnableWinsFlag                  // of a concurrent enable and disable, it is enabled
	DisableWinsFlag                 // of a concurrent enable and disable, it is disabled
	LastWriter                      // a register: of concurrent values the one with the latest timestamp
	MultiValue                      // a register: all concurrent values
	Map                             // fields by (type, name), each of any type
	types                           // one more than the last
)

// mixed is the root of a key that was made with several types at once.
const mixed = types

var typeNames = [...]string{"nothing", "counter", "add-wins set", "remove-wins set", "enable-wins flag",
	"disable-wins flag", "last-writer register", "multi-value register", "map"}

// String names the type for people.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// article names the type with its article.
func article(t Type) string {
	if t == AddWinsSet || t == EnableWinsFlag {
		return "an " + t.String()
	}
	return "a " + t.String()
}

// Valid says whether t is one of the types.
func (t Type) Valid() bool { return t > 0 && t < types }

// MaxDepth is how many maps may be nested, the outermost included.
const MaxDepth = 16

// Actor is who makes operations: a node in one of its incarnations. An
// incarnation is 1 or more, greater than all earlier ones of the node, and never
// used again; so a node that lost its last writes in a crash, or that was
// restored from a backup, cannot use a dot twice.
type Actor struct {
	Node        crux.NodeID
	Incarnation uint64
}

// Compare orders actors by node, then by incarnation.
func (a Actor) Compare(b Actor) int {
	return cmp.Or(a.Node.Compare(b.Node), cmp.Compare(a.Incarnation, b.Incarnation))
}

// String is for people: the node, a slash, the incarnation.
func (a Actor) String() string { return fmt.Sprintf("%v/%d", a.Node, a.Incarnation) }

// Dot names one effect of an operation: the Seq-th of its actor, counted from 1
// over all keys of the actor's store. An operation takes Op.Dots of them.
type Dot struct {
	Actor
	Seq uint64
}

// Compare orders dots by node, incarnation and Seq.
func (d Dot) Compare(e Dot) int {
	return cmp.Or(d.Actor.Compare(e.Actor), cmp.Compare(d.Seq, e.Seq))
}

// String is for people: the actor, a hash sign, the number.
func (d Dot) String() string { return fmt.Sprintf("%v#%d", d.Actor, d.Seq) }

func (d Dot) mark() Mark { return Mark{d.Incarnation, d.Seq} }

// Mark is a place in the life of a node: everything it did in earlier
// incarnations and up to number Seq of this one comes before or at it.
type Mark struct{ Incarnation, Seq uint64 }

// Compare orders marks by incarnation, then by Seq.
func (m Mark) Compare(n Mark) int {
	return cmp.Or(cmp.Compare(m.Incarnation, n.Incarnation), cmp.Compare(m.Seq, n.Seq))
}

// Timestamp is a hybrid logical time (Kulkarni et al. 2014), as the replica
// makes it: greater is later. Only last-writer registers look at it.
type Timestamp uint64
