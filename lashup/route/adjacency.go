package route

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"fulcrum.example/crux"
)

// Bounds of one adjacency; more is refused.
const (
	MaxEdges = 64
	MaxCuts  = 64
)

// Why says why an edge ended, or why a node is down.
type Why uint8

// The reasons. Unreachable is what remains when nobody knows better.
const (
	Unreachable Why = iota
	Dead            // its host or process is gone: refused, or no answer, and witnesses agree
	Hung            // its kernel accepts, the process does not answer
	Asymmetric      // this node cannot reach it, witnesses can
	Left            // it said that it leaves
	Closed          // the overlay let the link go; nothing is wrong
	whys
)

var whyNames = [...]string{"unreachable", "dead", "hung", "asymmetric", "left", "closed"}

// String gives the reason's name.
func (w Why) String() string {
	if int(w) < len(whyNames) {
		return whyNames[w]
	}
	return whyNames[Unreachable]
}

// Cut is a former neighbour of the node that publishes it.
type Cut struct {
	Node crux.NodeID
	Why  Why
}

// Adjacency is what a node says of its own place in the overlay. It is immutable
// once signed, and shared by pointer.
type Adjacency struct {
	Node         crux.NodeID
	Epoch, Clock uint64        // a greater (Epoch, Clock) supersedes
	Edges        []crux.NodeID // its neighbours now; strictly ascending, at most MaxEdges, never Node itself
	Cuts         []Cut         // former ones; strictly ascending by Node, at most MaxCuts
	Leaving      bool          // it is about to stop: it carries nobody's traffic
	Master       bool
	Card         *Card    // of the same Node and Epoch
	Sig          [64]byte // of SignedBytes, by Card.Session

	// bare is the sequence number of a card that was left out on the wire.
	bare uint32

	// What tables compute once for all of them. Only the goroutine that owns
	// the tables reads or writes these.
	ix     *Index
	dense  []uint32 // Edges by index; none: not in the index when it had seen nodes
	seen   uint32
	shaped uint64 // hash of what the graph depends on; 0: not computed
}

// Newer says whether a supersedes o, which may be nil.
func (a *Adjacency) Newer(o *Adjacency) bool {
	return o == nil || a.Epoch > o.Epoch || a.Epoch == o.Epoch && a.Clock > o.Clock
}

// Lists says whether id is among a's edges.
func (a *Adjacency) Lists(id crux.NodeID) bool {
	_, ok := slices.BinarySearchFunc(a.Edges, id, crux.NodeID.Compare)
	return ok
}

// CutOf gives the reason why a ended its edge to id, if it says so.
func (a *Adjacency) CutOf(id crux.NodeID) (Why, bool) {
	i, ok := slices.BinarySearchFunc(a.Cuts, id, func(c Cut, id crux.NodeID) int { return c.Node.Compare(id) })
	if !ok {
		return Unreachable, false
	}
	return a.Cuts[i].Why, true
}

// SignedBytes is what Sig signs. The label keeps it apart from everything else
// that the session key signs. The card is bound by its epoch and number.
func (a *Adjacency) SignedBytes() []byte {
	b := crux.AppendField(make([]byte, 0, 64+9*len(a.Edges)+9*len(a.Cuts)), []byte("lashup1 adjacency"))
	b = append(b, a.marks())
	b = a.appendHead(b)
	return binary.AppendUvarint(b, uint64(a.cardSeq()))
}

// Normalize sorts Edges and Cuts, as they must be before the adjacency is
// signed.
func (a *Adjacency) Normalize() {
	slices.SortFunc(a.Edges, crux.NodeID.Compare)
	slices.SortFunc(a.Cuts, func(x, y Cut) int { return x.Node.Compare(y.Node) })
}

// valid says what is wrong with a, or "".
func (a *Adjacency) valid() string {
	switch {
	case a.Card == nil:
		return "it has no card"
	case a.Card.Node != a.Node || a.Card.Epoch != a.Epoch:
		return "its card is another's"
	}
	return a.wellFormed()
}

// wellFormed is valid without regard to the card.
func (a *Adjacency) wellFormed() string {
	switch {
	case a.Node.IsZero():
		return "it is nobody's"
	case len(a.Edges) > MaxEdges || len(a.Cuts) > MaxCuts:
		return "it has too many edges"
	case !ascending(a.Edges):
		return "its edges are out of order"
	case a.Lists(a.Node):
		return "it lists itself"
	}
	for i, c := range a.Cuts {
		if c.Why >= whys || i > 0 && a.Cuts[i-1].Node.Compare(c.Node) >= 0 {
			return "its cuts are out of order"
		}
	}
	return ""
}

func ascending(ids []crux.NodeID) bool {
	for i := 1; i < len(ids); i++ {
		if ids[i-1].Compare(ids[i]) >= 0 {
			return false
		}
	}
	return true
}

// same says whether two adjacencies of one stamp are the same one.
func (a *Adjacency) same(o *Adjacency) bool {
	return a == o || a.Leaving == o.Leaving && a.Master == o.Master && a.cardSeq() == o.cardSeq() &&
		slices.Equal(a.Edges, o.Edges) && slices.Equal(a.Cuts, o.Cuts)
}

// memory estimates what a takes with its card, in bytes.
func (a *Adjacency) memory() int {
	n := int(unsafe.Sizeof(*a)) + 8*cap(a.Edges) + int(unsafe.Sizeof(Cut{}))*cap(a.Cuts) + 4*cap(a.dense)
	if a.Card != nil {
		n += int(unsafe.Sizeof(*a.Card)) + len(a.Card.Inst)
	}
	return n
}

func (a *Adjacency) cardSeq() uint32 {
	if a.Card != nil {
		return a.Card.Seq
	}
	return a.bare
}

// shape is a hash of what the graph depends on. It leaves out stamps and cuts, so
// that a node that only raised its clock changes no tree.
func (a *Adjacency) shape() uint64 {
	if a.shaped != 0 {
		return a.shaped
	}
	h := mix(number(a.Node))
	if a.Leaving {
		h++
	}
	for _, e := range a.Edges {
		h = mix(h ^ number(e))
	}
	a.shaped = max(h, 1)
	return a.shaped
}

// stamp is a hash of (Node, Epoch, Clock).
func (a *Adjacency) stamp() uint64 { return stampOf(a.Node, a.Epoch, a.Clock) }

func stampOf(id crux.NodeID, epoch, clock uint64) uint64 {
	return mix(mix(mix(number(id))+epoch) + clock)
}

// number reads an ID as a big-endian number, so that numbers compare as IDs do.
func number(id crux.NodeID) uint64 { return binary.BigEndian.Uint64(id[:]) }

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a
// bijection that spreads every bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
