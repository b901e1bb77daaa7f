package flock

import (
	"encoding/binary"
	"sort"

	"fulcrum.example/crux"
)

// Evicted is the state of an entry whose node an operator removed: as Gone, and
// the node is refused as long as the flock lives.
const Evicted crux.MemberState = 0xfe

// fanout is how many members each member of the tree pushes changes to.
const fanout = 8

// list is a copy of the flock's list of members. The leader writes it; everybody
// else has the part of its history that have covers. It is the state, not a log
// of changes: of each node the line with the highest version counts, and who
// has everything up to a version has at least the state of that version.
type list struct {
	lines map[crux.NodeID]*Entry
	log   []*Entry // by version; lines that were replaced are skipped
	stale int      // how many in log were replaced
	tombs int      // lines that say Gone
	slots []*Entry // by slot: the tree
	have  spans
	hash  uint64 // over the lines of members
	count int    // members: lines that are neither Gone nor Evicted
	alive int    // members that are not Lost
}

func newList() *list { return &list{lines: map[crux.NodeID]*Entry{}} }

// member says whether the entry is of a member.
func (e *Entry) member() bool { return e.State != Gone && e.State != Evicted }

// live says whether the entry is of a member that is not Lost.
func (e *Entry) live() bool { return e.State == crux.Alive || e.State == crux.Suspect }

// digest is the entry's part of the list's hash.
func (e *Entry) digest() uint64 {
	if !e.member() {
		return 0
	}
	h := mix(binary.LittleEndian.Uint64(e.Record.ID[:]) ^ uint64(e.State))
	h = mix(h ^ e.Record.Incarnation)
	return mix(h ^ e.Record.Seq ^ uint64(e.Slot)<<32)
}

// get returns the line of a node, or nil.
func (l *list) get(id crux.NodeID) *Entry { return l.lines[id] }

// info names the state of a list that is whole.
func (l *list) info() ListInfo { return ListInfo{Version: l.have.whole(), Hash: l.hash} }

// put takes in a line if it is newer than what the list has of its node.
func (l *list) put(e *Entry) bool {
	old := l.lines[e.Record.ID]
	if old != nil {
		if old.Version >= e.Version {
			return false
		}
		l.stale++
		if old.State == Gone {
			l.tombs--
		}
		l.hash -= old.digest()
		if old.member() {
			l.count--
		}
		if old.live() {
			l.alive--
		}
		if int(old.Slot) < len(l.slots) && l.slots[old.Slot] == old {
			l.slots[old.Slot] = nil
		}
	}
	l.lines[e.Record.ID] = e
	l.hash += e.digest()
	if e.live() {
		l.alive++
	}
	switch {
	case e.member():
		l.count++
		l.place(e)
	case e.State == Gone:
		l.tombs++
	}
	l.insert(e)
	if l.tombs > maxTombs {
		l.bury()
	}
	return true
}

// maxSlots bounds the tree, whatever slots others name.
const maxSlots = 1 << 17

func (l *list) place(e *Entry) {
	if e.Slot >= maxSlots {
		return // it gets no pushes, and finds what it lacks by pulls
	}
	for int(e.Slot) >= len(l.slots) {
		l.slots = append(l.slots, nil)
	}
	l.slots[e.Slot] = e
}

// insert puts the line into the log, which is nearly always at its end.
func (l *list) insert(e *Entry) {
	if l.stale > 32 && l.stale > len(l.log)/2 {
		l.compact()
	}
	i := len(l.log)
	if i > 0 && l.log[i-1].Version > e.Version {
		i = sort.Search(len(l.log), func(k int) bool { return l.log[k].Version > e.Version })
	}
	l.log = append(l.log, nil)
	copy(l.log[i+1:], l.log[i:])
	l.log[i] = e
}

// bury forgets the older half of those who are gone. Whoever has not heard by
// now that they are learns it by fetching the whole list.
func (l *list) bury() {
	drop := l.tombs / 2
	for _, e := range l.log {
		if drop > 0 && e.State == Gone && l.lines[e.Record.ID] == e {
			delete(l.lines, e.Record.ID)
			l.stale++
			l.tombs--
			drop--
		}
	}
	l.compact()
}

func (l *list) compact() {
	kept := l.log[:0]
	for _, e := range l.log {
		if l.lines[e.Record.ID] == e {
			kept = append(kept, e)
		}
	}
	clear(l.log[len(kept):])
	l.log, l.stale = kept, 0
}

// each visits all lines in the order of their versions.
func (l *list) each(visit func(*Entry)) {
	for _, e := range l.log {
		if l.lines[e.Record.ID] == e {
			visit(e)
		}
	}
}

// random returns a random line that is Alive and not of the node named, or nil.
// A few tries, no scan: the caller tries again later.
func (l *list) random(pick func(int) int, not crux.NodeID) *Entry {
	for range 8 {
		if len(l.log) == 0 {
			return nil
		}
		e := l.log[pick(len(l.log))]
		if e.State == crux.Alive && e.Record.ID != not && l.lines[e.Record.ID] == e {
			return e
		}
	}
	return nil
}

// pages cuts the part (from, to] of the list into pages, as far as this copy
// has it and limit allows. The last page says how far nothing else follows, so
// that it may end beyond to.
func (l *list) pages(flock crux.FlockID, from, to uint64, limit int) []*Page {
	end := l.have.end(from)
	if end <= from {
		return nil
	}
	i := sort.Search(len(l.log), func(k int) bool { return l.log[k].Version > from })
	var out []*Page
	p, size := &Page{Flock: flock, From: from}, pageFixed
	for ; i < len(l.log); i++ {
		e := l.log[i]
		if l.lines[e.Record.ID] != e {
			continue
		}
		if e.Version > to || e.Version > end {
			end = min(end, e.Version-1)
			break
		}
		if size+e.Size() > MaxBody {
			out = append(out, p)
			if len(out) == limit {
				return out
			}
			p, size = &Page{Flock: flock, From: p.To}, pageFixed
		}
		p.Entries, p.To = append(p.Entries, e), e.Version
		size += e.Size()
	}
	p.To = end
	return append(out, p)
}

// children visits those to whom the node at a slot pushes changes; slot -1 is
// the leader's. Where a child cannot do its part, its children are visited
// instead: skip says so of the leader (it has its changes) and of the visitor.
func (l *list) children(slot int, skip func(*Entry) bool, visit func(*Entry)) {
	first := fanout * (slot + 1)
	for c := first; c < first+fanout && c < len(l.slots); c++ {
		e := l.slots[c]
		if e == nil || e.State != crux.Alive || skip(e) {
			l.children(c, skip, visit)
			continue
		}
		visit(e)
	}
}

// mix is the finalizer of SplitMix64: a cheap hash for sums, ranks and samples,
// none of which an adversary gains from predicting.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
