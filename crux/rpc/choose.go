package rpc

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"

	"google.golang.org/grpc/connectivity"

	"fulcrum.example/crux"
)

// maxReplicas is how many replicas of the chosen version are kept connected, so
// that the death of one costs no dial.
const maxReplicas = 5

// rank sorts rows into tiers of equals, best first: Serving before Draining,
// greater versions first. Within a tier the node's own come first, then the
// others in an order that differs from client to client.
func rank(t *target) [][]crux.Row {
	rows := slices.Clone(t.rows)
	place := make(map[crux.NetID]uint64, len(rows))
	for i := range rows {
		place[rows[i].NetID] = hash64(t.salt, []byte(rows[i].NetID))
	}
	sameTier := func(a, b *crux.Row) int {
		if a.Status != b.Status {
			return cmp.Compare(a.Status, b.Status)
		}
		return b.Inst.Compare(a.Inst)
	}
	slices.SortFunc(rows, func(a, b crux.Row) int {
		return cmp.Or(sameTier(&a, &b), byBool(a.Node == t.self, b.Node == t.self),
			cmp.Compare(place[a.NetID], place[b.NetID]), cmp.Compare(a.NetID, b.NetID))
	})
	var tiers [][]crux.Row
	for i := 0; i < len(rows); {
		j := i + 1
		for j < len(rows) && sameTier(&rows[i], &rows[j]) == 0 {
			j++
		}
		tiers = append(tiers, rows[i:j])
		i = j
	}
	return tiers
}

// byBool puts what is true first.
func byBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// choose says which rows of the tiers to keep connected, given how the
// connections there are fare (Idle for those that are not there).
//
// Of the best tier, up to maxReplicas that do not fail, and beside them as many
// that do, in case they recover. While none of it is ready, what is ready below
// it is kept, and if all of it fails, the next tier is connected as well.
func choose(tiers [][]crux.Row, state func(crux.NetID) connectivity.State) []crux.Row {
	var out []crux.Row
	connect := true // this tier is to be connected, not only kept
	for _, tier := range tiers {
		good, failing, ready := 0, 0, false
		for _, row := range tier {
			switch state(row.NetID) {
			case connectivity.TransientFailure:
				if connect && failing < maxReplicas {
					out = append(out, row)
					failing++
				}
			case connectivity.Ready:
				if good < maxReplicas {
					out = append(out, row)
					good++
				}
				ready = true
			default:
				if connect && good < maxReplicas {
					out = append(out, row)
					good++
				}
			}
		}
		if ready {
			return out
		}
		connect = connect && good == 0
	}
	return out
}

// hash64 mixes length-prefixed parts into a number.
func hash64(seed uint64, parts ...[]byte) uint64 {
	h := fnv.New64a()
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], seed)
	h.Write(b[:])
	for _, p := range parts {
		binary.BigEndian.PutUint64(b[:], uint64(len(p)))
		h.Write(b[:])
		h.Write(p)
	}
	// FNV's high bits lag behind in short inputs; fold and multiply once more.
	x := h.Sum64()
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}
