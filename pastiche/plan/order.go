package plan

import (
	"cmp"
	"encoding/binary"
	"slices"

	"fulcrum.example/crux"
)

// Order returns nodes in the order of their weight for sum, greatest first
// (rendezvous hashing, Thaler and Ravishankar 1996): removing a node moves
// only what it had. The argument is not changed.
func Order(sum crux.Checksum, nodes []crux.NodeID) []crux.NodeID {
	out := slices.Clone(nodes)
	slices.SortFunc(out, func(a, b crux.NodeID) int {
		return cmp.Or(cmp.Compare(weight(sum, b), weight(sum, a)), a.Compare(b))
	})
	return out
}

// weight mixes sum and node; both are uniform already, so a finalizer
// (SplitMix64) is enough.
func weight(sum crux.Checksum, node crux.NodeID) uint64 {
	x := binary.BigEndian.Uint64(sum[:8]) ^ mix(binary.BigEndian.Uint64(node[:]))
	return mix(x)
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
