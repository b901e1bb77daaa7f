package vfs

import "errors"

// Op is a kind of call to a Mem.
type Op uint8

// The kinds of calls.
const (
	OpCreate Op = iota
	OpOpen
	OpRename
	OpRemove
	OpList
	OpSyncDir
	OpLock
	OpWrite
	OpRead
	OpSync
)

var opNames = [...]string{"create", "open", "rename", "remove", "list", "syncdir", "lock", "write", "read", "sync"}

// String is the name of the call.
func (o Op) String() string { return opNames[o] }

// Changes says whether the call changes the disk.
func (o Op) Changes() bool {
	switch o {
	case OpCreate, OpRename, OpRemove, OpSyncDir, OpWrite, OpSync:
		return true
	}
	return false
}

// Call is a call to a Mem or one of its files.
type Call struct {
	N    int // counted from 1
	Op   Op
	Name string // of the file
	Len  int    // bytes to be written or read
}

// Plan says which calls fail. With ErrKilled that call is the last that does
// anything: the process or the machine has stopped. It must not call the Mem.
type Plan func(Call) error

// ErrKilled is the error of a call at which the machine stopped, and of all later
// ones.
var ErrKilled = errors.New("the machine has stopped")

// FailAt lets the n-th call fail with err.
func FailAt(n int, err error) Plan {
	return func(c Call) error {
		if c.N == n {
			return err
		}
		return nil
	}
}

// FailFrom lets the n-th call fail with err, and all later ones that change the
// disk; removing is always possible.
func FailFrom(n int, err error) Plan {
	return func(c Call) error {
		if c.N == n || c.N > n && c.Op.Changes() && c.Op != OpRemove {
			return err
		}
		return nil
	}
}

// Break puts a plan in force, nil for none, and counts calls from 1 again.
func (m *Mem) Break(p Plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plan, m.calls = p, 0
}

// Calls is how many calls there were since the last Break.
func (m *Mem) Calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// Limit leaves room for so many bytes more; less than 0 takes the limit away.
// Removed files give room.
func (m *Mem) Limit(room int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room = room
}

// call counts a call and asks the plan.
func (m *Mem) call(op Op, name string, n int) error {
	if m.killed {
		return ErrKilled
	}
	m.calls++
	if m.plan == nil {
		return nil
	}
	err := m.plan(Call{m.calls, op, name, n})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrKilled):
		m.killed = true
		return ErrKilled
	}
	return m.fail(op, name, err)
}
