package replica

import (
	"crypto/sha256"
	"encoding/binary"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// Keys with an owner are signed in batches: the owner signs the root of a tree of
// hashes over the keys that it has written at a time, and each key keeps the
// signature and its path to the root, so that anybody can pass it on alone.
//
// A tree of n leaves has n nodes at the lowest level and half as many, rounded up,
// at each level above; a node without a sibling moves up as it is. Leaves and inner
// nodes are hashed under different labels, so neither can be taken for the other.

// maxLeaves is how many keys a batch may have.
const maxLeaves = 256

type hash = [hashSize]byte

// batch is a signed root, shared by the keys of the batch.
type batch struct {
	cardID
	card   []byte
	leaves int
	sig    [sigSize]byte
}

// proof is what a key with an owner keeps: the owner's last word on it is at mark
// mark, and it is leaf number leaf of the batch.
type proof struct {
	batch *batch
	mark  crdt.Mark
	leaf  int
	path  []hash // siblings from the leaf to the root, where there are any
}

// leafHash binds a value to its key, bloc, and place in the owner's life.
func leafHash(bloc crux.BlocID, key string, m crdt.Mark, sum hash) hash {
	b := make([]byte, 0, 64+len(bloc)+len(key)+hashSize)
	b = append(b, "lashup leaf\x00"...)
	b = appendText(appendText(b, string(bloc)), key)
	b = binary.BigEndian.AppendUint64(b, m.Incarnation)
	b = binary.BigEndian.AppendUint64(b, m.Seq)
	return sha256.Sum256(append(b, sum[:]...))
}

// sumOf is the hash of a value; of a deletion, that of the value of type 0.
func sumOf(v crdt.Value) hash { return sha256.Sum256(appendValue(nil, v)) }

func innerHash(l, r hash) hash {
	b := make([]byte, 0, 16+2*hashSize)
	b = append(b, "lashup node\x00"...)
	return sha256.Sum256(append(append(b, l[:]...), r[:]...))
}

// appendValue appends an encoding of what a reader sees, whatever the state that
// it comes from looks like inside. Different values have different encodings.
func appendValue(b []byte, v crdt.Value) []byte {
	b = append(b, byte(v.Type))
	switch v.Type {
	case crdt.Counter:
		b = binary.AppendVarint(b, v.Int)
	case crdt.EnableWinsFlag, crdt.DisableWinsFlag:
		b = append(b, bit(v.Flag, 1))
	case crdt.Map:
		b = binary.AppendUvarint(b, uint64(len(v.Fields)))
		for i := range v.Fields {
			b = appendText(b, v.Fields[i].Name)
			b = appendValue(b, v.Fields[i].Value)
		}
	default:
		b = binary.AppendUvarint(b, uint64(len(v.Text)))
		for _, s := range v.Text {
			b = appendText(b, s)
		}
	}
	return b
}

// paths makes the tree over leaves and gives the root and each leaf's path.
func paths(leaves []hash) (root hash, out [][]hash) {
	out = make([][]hash, len(leaves))
	level := leaves
	for depth := 0; len(level) > 1; depth++ {
		for i := range out {
			if at := i >> depth; at^1 < len(level) {
				out[i] = append(out[i], level[at^1])
			}
		}
		up := make([]hash, 0, (len(level)+1)/2)
		for i := 0; i < len(level); i += 2 {
			if i+1 < len(level) {
				up = append(up, innerHash(level[i], level[i+1]))
			} else {
				up = append(up, level[i])
			}
		}
		level = up
	}
	return level[0], out
}

// climb calls at for each level of a tree of n leaves: with the positions that are
// known there, ascending, and the length of the level.
func climb(n int, known []int, at func(level []int, length int)) {
	for ; n > 1; n = (n + 1) / 2 {
		at(known, n)
		var up []int
		for _, p := range known {
			if len(up) == 0 || up[len(up)-1] != p/2 {
				up = append(up, p/2)
			}
		}
		known = up
	}
}

// lone calls f with the siblings that are needed beside the positions of a level,
// ascending.
func lone(level []int, length int, f func(sibling int)) {
	for i, p := range level {
		sib := p ^ 1
		switch {
		case sib >= length,
			i > 0 && level[i-1] == sib,
			i+1 < len(level) && level[i+1] == sib:
		default:
			f(sib)
		}
	}
}

// gatherHashes are the hashes that prove several leaves of a batch together: what
// the leaves themselves do not tell, by level and then by position. proofs are
// theirs, by leaf.
func gatherHashes(n int, proofs []*proof) (out []hash) {
	known := make([]int, len(proofs))
	for i, p := range proofs {
		known[i] = p.leaf
	}
	depth := 0
	climb(n, known, func(level []int, length int) {
		lone(level, length, func(sib int) {
			for _, p := range proofs {
				if p.leaf>>depth == sib^1 {
					out = append(out, p.path[rank(p.leaf, n, depth)])
					break
				}
			}
		})
		depth++
	})
	return out
}

// rank is where in the path of a leaf its sibling at depth is: levels at which it
// has none are left out.
func rank(leaf, n, depth int) (i int) {
	for d := 0; d < depth; d++ {
		if (leaf>>d)^1 < n {
			i++
		}
		n = (n + 1) / 2
	}
	return i
}

// spread undoes gatherHashes: it computes the root from the leaves at the given
// positions (ascending) and the hashes, and the path of each leaf. ok is false if
// there are too few or too many hashes.
func spread(n int, at []int, leaves, hashes []hash) (root hash, out [][]hash, ok bool) {
	out = make([][]hash, len(at))
	now := make(map[int]hash, len(at))
	for i, p := range at {
		now[p] = leaves[i]
	}
	depth, ok := 0, true
	climb(n, at, func(level []int, length int) {
		lone(level, length, func(sib int) {
			if len(hashes) == 0 {
				ok = false
				return
			}
			now[sib], hashes = hashes[0], hashes[1:]
		})
		for i, p := range at {
			if sib := p>>depth ^ 1; sib < length {
				out[i] = append(out[i], now[sib])
			}
		}
		up := make(map[int]hash, len(level))
		for _, p := range level {
			l := p &^ 1
			if l+1 < length {
				up[p/2] = innerHash(now[l], now[l+1])
			} else {
				up[p/2] = now[l]
			}
		}
		now = up
		depth++
	})
	return now[0], out, ok && len(hashes) == 0
}

// rootOf is the root that a leaf and its path lead to, in a batch of n.
func rootOf(n, leaf int, at hash, path []hash) (root hash, ok bool) {
	for ; n > 1; n, leaf = (n+1)/2, leaf/2 {
		if leaf^1 >= n {
			continue
		}
		if len(path) == 0 {
			return hash{}, false
		}
		if leaf&1 == 0 {
			at = innerHash(at, path[0])
		} else {
			at = innerHash(path[0], at)
		}
		path = path[1:]
	}
	return at, len(path) == 0
}
