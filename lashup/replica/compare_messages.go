package replica

import (
	"encoding/binary"

	"fulcrum.example/lashup/codec"
)

// Keys are compared by a tree of hashes: 256 children at each node, by the bytes of
// the keys' hashes.

// maxPrefix is how deep the tree of hashes is.
const maxPrefix = 3

// maxListed is how many keys a Leaves lists: more go one level deeper, where there
// is one.
const maxListed = 1 << 13

// Tree is a node of the sender's tree: the sums of its children.
type Tree struct {
	Prefix []byte
	Sums   [256]uint64
}

// Size is the length of the encoding.
func (m *Tree) Size() int { return 1 + textLen(len(m.Prefix)) + 8*len(m.Sums) }

// Append appends the encoding.
func (m *Tree) Append(b []byte) []byte {
	b = appendText(append(b, kindTree), m.Prefix)
	for _, s := range m.Sums {
		b = binary.BigEndian.AppendUint64(b, s)
	}
	return b
}

func (r *reader) tree() *Tree {
	m := &Tree{Prefix: r.bytes(maxPrefix)}
	for i := range m.Sums {
		m.Sums[i] = r.Uint64()
	}
	return m
}

// Leaves are the keys that the sender has below a node of its tree, by hash.
type Leaves struct {
	Prefix []byte
	Leaves []Leaf
}

// Leaf is a key and what it holds, as hashes.
type Leaf struct{ Key, Value uint64 }

// Size is the length of the encoding.
func (m *Leaves) Size() int {
	return 1 + textLen(len(m.Prefix)) + codec.UvarintSize(uint64(len(m.Leaves))) + 16*len(m.Leaves)
}

// Append appends the encoding.
func (m *Leaves) Append(b []byte) []byte {
	b = appendText(append(b, kindLeaves), m.Prefix)
	b = binary.AppendUvarint(b, uint64(len(m.Leaves)))
	for _, l := range m.Leaves {
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, l.Key), l.Value)
	}
	return b
}

func (r *reader) leaves() *Leaves {
	m := &Leaves{Prefix: r.bytes(maxPrefix)}
	if n := r.Count(maxListed, 16); n > 0 {
		m.Leaves = make([]Leaf, n)
	}
	for i := range m.Leaves {
		m.Leaves[i] = Leaf{r.Uint64(), r.Uint64()}
		r.Check(i == 0 || m.Leaves[i-1].Key < m.Leaves[i].Key)
		r.Check(hasPrefix(m.Leaves[i].Key, m.Prefix))
	}
	return m
}

// hasPrefix says whether a key's hash is below a node of the tree.
func hasPrefix(h uint64, prefix []byte) bool {
	for i, b := range prefix {
		if byte(h>>(56-8*i)) != b {
			return false
		}
	}
	return true
}

// Fetch asks for the values of keys, by hash.
type Fetch struct{ Keys []uint64 }

// maxFetch bounds the keys of a Fetch.
const maxFetch = 64

// Size is the length of the encoding.
func (m *Fetch) Size() int { return 1 + codec.UvarintSize(uint64(len(m.Keys))) + 8*len(m.Keys) }

// Append appends the encoding.
func (m *Fetch) Append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, kindFetch), uint64(len(m.Keys)))
	for _, k := range m.Keys {
		b = binary.BigEndian.AppendUint64(b, k)
	}
	return b
}

func (r *reader) fetch() *Fetch {
	m := &Fetch{}
	for i, n := 0, r.Count(maxFetch, 8); i < n && !r.Bad(); i++ {
		m.Keys = append(m.Keys, r.Uint64())
		r.Check(i == 0 || m.Keys[i-1] < m.Keys[i])
	}
	return m
}

// Repair answers a Fetch: the values of those that the sender has. The others it
// does not have.
type Repair struct {
	Asked []uint64
	Bundle
	Cards []Card
}

// Size is the length of the encoding.
func (m *Repair) Size() int {
	return (&Fetch{m.Asked}).Size() + m.Bundle.size() + cardsLen(m.Cards)
}

// Append appends the encoding.
func (m *Repair) Append(b []byte) []byte {
	at := len(b)
	b = (&Fetch{m.Asked}).Append(b)
	b[at] = kindRepair
	return appendCards(m.Bundle.append(b), m.Cards)
}

func (r *reader) repair() *Repair {
	return &Repair{r.fetch().Keys, r.bundle(), r.cards()}
}
