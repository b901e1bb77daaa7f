package vfs

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
)

// Fate is what becomes of what was not synced when the machine stops.
type Fate uint8

// The fates.
const (
	Kept    Fate = iota // all is there: only the process died
	Dropped             // nothing is
	Torn                // of files a beginning, of names what was done first
	Mixed               // any sectors, any names; a beginning that is torn at any byte
)

// sector is what a disk writes whole or not at all.
const sector = 512

// Crash gives the disk as the next boot finds it: what was synced, and of the rest
// what fate and chance leave. The old disk, of which nothing is changed, is of no
// use any more: its calls fail with ErrKilled. Locks are gone, and so are plan and
// limit.
func (m *Mem) Crash(fate Fate, rnd *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.killed = true
	if fate == Kept {
		return m.copied()
	}
	next := NewMem()
	for name, n := range m.folder(fate, rnd) {
		n = n.crash(fate, rnd)
		next.names[name], next.disk[name] = n, n
	}
	return next
}

// copied is the same disk with the same memory of what is not on it yet.
func (m *Mem) copied() *Mem {
	next := NewMem()
	seen := map[*node]*node{nil: nil}
	copyOf := func(n *node) *node {
		if c, ok := seen[n]; ok {
			return c
		}
		c := &node{data: slices.Clone(n.data), safe: n.safe, lost: slices.Clone(n.lost)}
		seen[n] = c
		return c
	}
	for name, n := range m.names {
		next.names[name] = copyOf(n)
	}
	for name, n := range m.disk {
		next.disk[name] = copyOf(n)
	}
	for _, mv := range m.moves {
		mv.node = copyOf(mv.node)
		next.moves = append(next.moves, mv)
	}
	return next
}

// folder is what the folder holds after a crash.
func (m *Mem) folder(fate Fate, rnd *rand.Rand) map[string]*node {
	names := maps.Clone(m.disk)
	done := len(m.moves)
	switch fate {
	case Dropped:
		done = 0
	case Torn:
		done = rnd.IntN(len(m.moves) + 1)
	}
	for _, mv := range m.moves[:done] {
		if fate == Mixed && rnd.IntN(2) == 0 {
			continue
		}
		mv.do(names)
	}
	return names
}

// crash is a file as the next boot finds it.
func (n *node) crash(fate Fate, rnd *rand.Rand) *node {
	// A sync that failed has covered nothing, but what came before.
	size := n.safe
	if k := len(n.lost); k > 0 && n.lost[k-1].to == n.safe {
		size = n.lost[k-1].from
	}
	if fate != Dropped {
		size += rnd.IntN(len(n.data) - size + 1)
		if rnd.IntN(2) == 0 {
			size = len(n.data)
		}
	}
	data := slices.Clone(n.data[:size])
	for _, s := range n.lost {
		tear(data, s.from, s.to, fate, rnd)
	}
	tear(data, n.safe, size, fate, rnd)
	return &node{data: data, safe: len(data)}
}

// tear leaves of data[from:to], which no sync has covered, what fate says. Sectors
// that are missing are zeros.
func tear(data []byte, from, to int, fate Fate, rnd *rand.Rand) {
	to = min(to, len(data))
	if from >= to {
		return
	}
	switch fate {
	case Dropped:
		clear(data[from:to])
	case Torn:
		clear(data[from+rnd.IntN(to-from+1) : to])
	case Mixed:
		for at := from; at < to; {
			end := min(to, at-at%sector+sector)
			if rnd.IntN(2) == 0 {
				clear(data[at:end])
			}
			at = end
		}
	}
}

// Corrupt flips the bit of a file on the disk, as a disk that rots does. It fails
// with fs.ErrNotExist where there is no such bit.
func (m *Mem) Corrupt(name string, bit int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil || bit/8 >= int64(len(n.data)) {
		return m.fail(OpWrite, name, fs.ErrNotExist)
	}
	n.data[bit/8] ^= 1 << (bit % 8)
	return nil
}

// Truncate cuts a file on the disk, as an administrator or a bad copy does.
func (m *Mem) Truncate(name string, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil || size > int64(len(n.data)) {
		return m.fail(OpWrite, name, fs.ErrNotExist)
	}
	n.data = slices.Clone(n.data[:size])
	n.safe = min(n.safe, len(n.data))
	return nil
}

// Clone is a copy of the disk as processes see it; what is not on the disk yet is
// not there yet in the copy.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.copied()
}
