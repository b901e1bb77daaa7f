package crdt

import (
	"encoding/binary"

	"fulcrum.example/crux"
)

// reader reads an encoding strictly. After the first fault it reads zeros.
type reader struct {
	b   []byte
	bad string // what is wrong
}

func (r *reader) ok() bool { return r.bad == "" }

// check notes a fault unless cond holds.
func (r *reader) check(cond bool, why string) {
	if !cond && r.bad == "" {
		r.bad, r.b = why, nil
	}
}

// end says what was wrong, or that something is left over.
func (r *reader) end(op string) error {
	r.check(len(r.b) == 0, "bytes left over")
	if r.bad != "" {
		return crux.Errorf(op, crux.Corrupt, "%s", r.bad)
	}
	return nil
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.check(false, "cut short")
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) bool() bool {
	b := r.byte()
	r.check(b <= 1, "neither yes nor no")
	return b == 1
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n != uvarintLen(v) {
		r.check(false, "a number that is cut short, too large or not in its shortest form")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// count reads the length of a list whose items take at least size bytes each.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.check(false, "a list longer than what is there")
		return 0
	}
	return int(n)
}

func (r *reader) string() string { return string(r.take(r.count(1))) }

func (r *reader) node() (id crux.NodeID) {
	copy(id[:], r.take(len(id)))
	return id
}
