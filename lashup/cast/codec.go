package cast

import (
	"encoding/binary"

	"fulcrum.example/crux"
)

// reader walks over bytes from outside. After the first fault it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	f := r.b[:n:n]
	r.b = r.b[n:]
	return f
}

func (r *reader) byte() byte {
	if f := r.take(1); f != nil {
		return f[0]
	}
	return 0
}

// uvarint reads a number in its shortest form; any other is a fault.
func (r *reader) uvarint() uint64 {
	if r.bad {
		return 0
	}
	x, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return x
}

// count reads the number of items that follow, each of at least size bytes.
func (r *reader) count(most, size int) int {
	n := r.uvarint()
	if n > uint64(most) || n*uint64(size) > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) node() (id crux.NodeID) {
	copy(id[:], r.take(len(id)))
	return id
}

func (r *reader) ids(most int) []crux.NodeID {
	n := r.count(most, 8)
	if n == 0 {
		return nil
	}
	out := make([]crux.NodeID, n)
	for i := range out {
		out[i] = r.node()
	}
	return out
}

func (r *reader) id() ID { return ID{r.node(), r.uvarint(), r.uvarint()} }

func (id ID) size() int { return 8 + uvarintSize(id.Epoch) + uvarintSize(id.Seq) }

func (id ID) append(b []byte) []byte {
	b = append(b, id.Origin[:]...)
	b = binary.AppendUvarint(b, id.Epoch)
	return binary.AppendUvarint(b, id.Seq)
}

func appendIDs(b []byte, ids []crux.NodeID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

func idsSize(ids []crux.NodeID) int { return uvarintSize(uint64(len(ids))) + 8*len(ids) }

func uvarintSize(x uint64) int {
	n := 1
	for ; x >= 0x80; x >>= 7 {
		n++
	}
	return n
}
