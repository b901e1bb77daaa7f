package replica

import (
	"cmp"
	"slices"
	"time"

	"fulcrum.example/crux"
)

// Two replicas that have received the same hold the same. If they do not, a disk or
// a memory has failed, or there is a defect, and either may be right. So a replica
// believes two neighbours that agree against itself; where there is but one
// neighbour, the greater hash wins.

const (
	treeEvery   = 30 * time.Second
	treesOf     = 64 // messages that are answered in that time
	listBelow   = 64 // so many keys are listed, rather than looked at a level deeper
	maxSuspects = 1 << 12
)

// suspicion is what a neighbour holds of a key that this replica holds another
// value of.
type suspicion struct {
	peer  crux.NodeID
	value uint64 // hash; 0: nothing
	sure  bool   // another neighbour holds the same
}

// differ is called when a neighbour has received the same and holds other values.
// That may be so for a moment while it makes up its mind about an eviction.
func (r *Replica) differ(p *peer) {
	if p.differs++; p.differs < 2 || r.now < p.treeAt {
		return
	}
	p.treeAt, p.trees = r.now+r.jitterUp(treeEvery), treesOf
	r.stats.Differences++
	m, _, _ := r.treeNode(nil, nil)
	r.send(p, m)
}

// mayCompare limits what a neighbour may ask for: each answer goes through all
// keys.
func (r *Replica) mayCompare(p *peer) bool {
	if r.now >= p.treeAt {
		p.treeAt, p.trees = r.now+treeEvery, treesOf
	}
	p.trees--
	return p.trees >= 0 && !r.resync
}

// treeNode makes a node of the tree, and its children that differ from those of
// theirs: as lists of keys, and as sums.
func (r *Replica) treeNode(prefix []byte, theirs *Tree) (m *Tree, lists map[byte][]Leaf, sums map[byte]*[256]uint64) {
	r.sum()
	m = &Tree{Prefix: prefix}
	depth := len(prefix)
	r.eachLeaf(prefix, func(l Leaf) { m.Sums[byte(l.Key>>(56-8*depth))] += mix(l) })
	if theirs == nil {
		return m, nil, nil
	}
	lists, sums = map[byte][]Leaf{}, map[byte]*[256]uint64{}
	r.eachLeaf(prefix, func(l Leaf) {
		b := byte(l.Key >> (56 - 8*depth))
		if m.Sums[b] == theirs.Sums[b] {
			return
		}
		if sums[b] == nil {
			sums[b] = new([256]uint64)
		}
		if len(lists[b]) < maxListed {
			lists[b] = append(lists[b], l)
		}
		if depth+1 < maxPrefix {
			sums[b][byte(l.Key>>(48-8*depth))] += mix(l)
		}
	})
	return m, lists, sums
}

func byHash(x, y Leaf) int { return cmp.Compare(x.Key, y.Key) }

// mix makes one number of a leaf, whose parts may not be exchanged with those of
// another.
func mix(l Leaf) uint64 {
	x := l.Key ^ (l.Value * 0x9e3779b97f4a7c15)
	x ^= x >> 32
	return x * 0xd6e8feb86659fd93
}

// eachLeaf calls f for each durable key below a node of the tree.
func (r *Replica) eachLeaf(prefix []byte, f func(Leaf)) {
	for rec := r.newest; rec != nil; rec = rec.older {
		if rec.is(recVolatile|recAbsent) || r.doomed(rec) {
			continue
		}
		if h := hashOf([]byte(rec.key)); hasPrefix(h, prefix) {
			f(Leaf{h, rec.hash})
		}
	}
}

// takeTree answers with what is below the children that differ.
func (r *Replica) takeTree(p *peer, m *Tree) {
	if !r.mayCompare(p) {
		return
	}
	mine, lists, sums := r.treeNode(m.Prefix, m)
	for i := range mine.Sums {
		b := byte(i)
		if mine.Sums[i] == m.Sums[i] {
			continue
		}
		child := append(slices.Clone(m.Prefix), b)
		if len(child) < maxPrefix && len(lists[b]) > listBelow {
			r.send(p, &Tree{child, *sums[b]})
			continue
		}
		list := lists[b]
		slices.SortFunc(list, byHash)
		r.send(p, &Leaves{child, list})
	}
}

// takeLeaves compares keys.
func (r *Replica) takeLeaves(p *peer, m *Leaves) {
	if !r.mayCompare(p) {
		return
	}
	theirs := make(map[uint64]uint64, len(m.Leaves))
	for _, l := range m.Leaves {
		theirs[l.Key] = l.Value
	}
	var sure []uint64
	var own []*record
	look := func(key, mine, other uint64) {
		if mine != other && r.suspectKey(p, key, mine, other) {
			sure = append(sure, key)
		}
	}
	r.sum()
	r.eachLeaf(m.Prefix, func(l Leaf) {
		look(l.Key, l.Value, theirs[l.Key])
		delete(theirs, l.Key)
	})
	for key, value := range theirs {
		look(key, 0, value)
	}
	for _, rec := range r.ownedBy(r.self) {
		h := hashOf([]byte(rec.key))
		if !slices.Contains(sure, h) && r.suspect[h].peer != p.id {
			continue
		}
		if !r.anew.Take(r.now, republishRate, 1) {
			break // the next comparison goes on
		}
		own = append(own, rec)
	}
	r.republish(own) // of these this node alone knows
	slices.Sort(sure)
	if sure = slices.Compact(sure); len(sure) > maxFetch {
		sure = sure[:maxFetch]
	}
	if len(sure) > 0 {
		r.send(p, &Fetch{sure})
	}
	r.answerLeaves(p, m)
}

// answerLeaves lets the neighbour see what is here of the same keys, if it is not
// the answer to that already.
func (r *Replica) answerLeaves(p *peer, m *Leaves) {
	if p.answered == string(m.Prefix) {
		p.answered = ""
		return
	}
	list := []Leaf{}
	r.eachLeaf(m.Prefix, func(l Leaf) { list = append(list, l) })
	if len(list) > maxListed {
		return
	}
	slices.SortFunc(list, byHash)
	p.answered = string(m.Prefix)
	r.send(p, &Leaves{m.Prefix, list})
}

// suspectKey notes what a neighbour holds of a key, and says whether that is now
// to be believed.
func (r *Replica) suspectKey(p *peer, key, mine, theirs uint64) bool {
	s, ok := r.suspect[key]
	switch {
	case len(r.peers) == 1:
		s = suspicion{p.id, theirs, theirs > mine}
	case ok && s.value == theirs && s.peer != p.id:
		s.sure, s.peer = true, p.id
	case ok && s.value == theirs:
	case len(r.suspect) >= maxSuspects && !ok:
		return false
	default:
		s = suspicion{peer: p.id, value: theirs}
	}
	r.suspect[key] = s
	return s.sure && s.peer == p.id
}
