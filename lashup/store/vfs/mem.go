package vfs

import (
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Mem is a disk in memory that tests break: its calls can be made to fail or to be
// the last (Break), room can run out (Limit), and a crash leaves of what was not
// synced whatever it likes (Crash).
type Mem struct {
	mu    sync.Mutex
	names map[string]*node // as processes see the folder
	disk  map[string]*node // as it is on the disk
	moves []move           // what is not yet on the disk, oldest first
	locks map[string]string

	plan   Plan
	calls  int
	room   int64 // what may still be written; less than 0: any amount
	killed bool
}

// node is a file, with or without a name.
type node struct {
	data []byte // as processes see it
	safe int    // what a good Sync has covered
	lost []span // what of it a failed Sync has not
}

type span struct{ from, to int }

// move is a change of names: a file gets a name, or (nil) loses it.
type move struct {
	name string
	node *node
	from string // for a rename: the name that goes away
}

// NewMem makes an empty disk without limit.
func NewMem() *Mem {
	return &Mem{names: map[string]*node{}, disk: map[string]*node{}, locks: map[string]string{}, room: -1}
}

// Path is the name.
func (m *Mem) Path(name string) string { return "mem:/" + name }

// Create makes a file.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call(OpCreate, name, 0); err != nil {
		return nil, err
	}
	if m.names[name] != nil {
		return nil, m.fail(OpCreate, name, fs.ErrExist)
	}
	n := &node{}
	m.names[name] = n
	m.moves = append(m.moves, move{name: name, node: n})
	return &memFile{m: m, node: n, name: name, write: true}, nil
}

// Open opens a file for reading.
func (m *Mem) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call(OpOpen, name, 0); err != nil {
		return nil, err
	}
	n := m.names[name]
	if n == nil {
		return nil, m.fail(OpOpen, name, fs.ErrNotExist)
	}
	return &memFile{m: m, node: n, name: name}, nil
}

// Rename renames a file.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call(OpRename, from, 0); err != nil {
		return err
	}
	n := m.names[from]
	if n == nil {
		return m.fail(OpRename, from, fs.ErrNotExist)
	}
	m.free(m.names[to])
	delete(m.names, from)
	m.names[to] = n
	m.moves = append(m.moves, move{name: to, node: n, from: from})
	return nil
}

// Remove removes a file. One that is open can still be read.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call(OpRemove, name, 0); err != nil {
		return err
	}
	if m.names[name] == nil {
		return m.fail(OpRemove, name, fs.ErrNotExist)
	}
	m.free(m.names[name])
	delete(m.names, name)
	m.moves = append(m.moves, move{name: name})
	return nil
}

// free gives back the room that a file took.
func (m *Mem) free(n *node) {
	if n != nil && m.room >= 0 {
		m.room += int64(len(n.data))
	}
}

// List lists the files.
func (m *Mem) List() ([]Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call(OpList, "", 0); err != nil {
		return nil, err
	}
	out := make([]Info, 0, len(m.names))
	for name, n := range m.names {
		out = append(out, Info{name, int64(len(n.data))})
	}
	slices.SortFunc(out, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// SyncDir brings the names to the disk.
func (m *Mem) SyncDir() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call(OpSyncDir, "", 0); err != nil {
		return err
	}
	for _, mv := range m.moves {
		mv.do(m.disk)
	}
	m.moves = nil
	return nil
}

func (mv move) do(names map[string]*node) {
	if mv.from != "" {
		delete(names, mv.from)
	}
	if mv.node == nil {
		delete(names, mv.name)
		return
	}
	names[mv.name] = mv.node
}

// Lock keeps others out until the closer is closed or the machine crashes.
func (m *Mem) Lock(name, holder string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call(OpLock, name, 0); err != nil {
		return nil, err
	}
	if who, ok := m.locks[name]; ok {
		return nil, &Locked{m.Path(name), who}
	}
	m.locks[name] = holder
	return &memLock{m: m, name: name}, nil
}

type memLock struct {
	m    *Mem
	name string
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.name == "" {
		return fs.ErrClosed
	}
	delete(l.m.locks, l.name)
	l.name = ""
	return nil
}

func (m *Mem) fail(op Op, name string, err error) error {
	return &fs.PathError{Op: op.String(), Path: m.Path(name), Err: err}
}

type memFile struct {
	m      *Mem
	node   *node
	name   string
	write  bool
	closed bool
}

// Write appends. If it fails, a part is written all the same.
func (f *memFile) Write(b []byte) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed || !f.write {
		return 0, f.m.fail(OpWrite, f.name, fs.ErrClosed)
	}
	if f.m.killed {
		return 0, ErrKilled
	}
	err := f.m.call(OpWrite, f.name, len(b))
	n := len(b)
	if err != nil {
		n = f.m.calls % (n + 1) // a part, chosen by the number of the call
	}
	if f.m.room >= 0 && int64(n) > f.m.room {
		n, err = int(f.m.room), f.m.fail(OpWrite, f.name, syscall.ENOSPC)
	}
	if f.m.room >= 0 {
		f.m.room -= int64(n)
	}
	f.node.data = append(f.node.data, b[:n]...)
	return n, err
}

// ReadAt reads what was written, be it on the disk or not.
func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return 0, f.m.fail(OpRead, f.name, fs.ErrClosed)
	}
	if err := f.m.call(OpRead, f.name, len(b)); err != nil {
		return 0, err
	}
	if off < 0 || off > int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Sync brings the bytes to the disk. If it fails, those since the last Sync are
// lost, and the next Sync does not bring them back.
func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return f.m.fail(OpSync, f.name, fs.ErrClosed)
	}
	if f.m.killed {
		return ErrKilled
	}
	n := f.node
	err := f.m.call(OpSync, f.name, 0)
	if f.m.killed {
		return err // it did not come to that
	}
	if err != nil && n.safe < len(n.data) {
		n.lost = append(n.lost, span{n.safe, len(n.data)})
	}
	n.safe = len(n.data)
	return err
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return 0, f.m.fail(OpRead, f.name, fs.ErrClosed)
	}
	if f.m.killed {
		return 0, ErrKilled
	}
	return int64(len(f.node.data)), nil
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return f.m.fail(OpOpen, f.name, fs.ErrClosed)
	}
	f.closed = true
	return nil
}
