package log

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

const (
	magic     = "lashlog1"
	headerLen = 40
	frameHead = 20
	align     = 8
	// MaxBatch bounds the entries of one Append, in bytes.
	MaxBatch = 64 << 20
	// frameSize is how much is put into one frame where nothing demands that it is one.
	frameSize = 1 << 20
)

type kind uint32

const (
	kindBatch kind = iota + 1
	kindOldest
	kindSeal
)

// header begins a segment.
type header struct {
	id, oldest, before uint32
	tag, salt          uint64
}

func (h *header) append(b []byte) []byte {
	at := len(b)
	b = append(b, magic...)
	b = le.AppendUint32(b, h.id)
	b = le.AppendUint32(b, h.oldest)
	b = le.AppendUint32(b, h.before)
	b = le.AppendUint64(b, h.tag)
	b = le.AppendUint64(b, h.salt)
	return le.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// parseHeader reads the header of segment id.
func parseHeader(b []byte, id uint32) (h header, err error) {
	switch {
	case len(b) < headerLen:
		return h, fmt.Errorf("the file is too short for its header: %d bytes", len(b))
	case string(b[:8]) != magic:
		return h, fmt.Errorf("it does not begin with %q", magic)
	case crc32.Checksum(b[:36], castagnoli) != le.Uint32(b[36:]):
		return h, fmt.Errorf("the header does not match its checksum")
	}
	h = header{
		id: le.Uint32(b[8:]), oldest: le.Uint32(b[12:]), before: le.Uint32(b[16:]),
		tag: le.Uint64(b[20:]), salt: le.Uint64(b[28:]),
	}
	if h.id != id || h.oldest > id || h.oldest == 0 {
		return h, fmt.Errorf("the header is of segment %d with oldest %d", h.id, h.oldest)
	}
	return h, nil
}

// frame is a part of a segment that is there whole or not at all.
type frame struct {
	kind     kind
	off, end uint32 // where it begins and where the next one may
	durable  uint32
	payload  []byte
}

// frameEnd is where a frame ends that begins at off.
func frameEnd(off uint32, payload int) int64 {
	end := int64(off) + frameHead + int64(payload)
	return (end + align - 1) / align * align
}

// headSum is the checksum of a frame's head, without its first four bytes.
func headSum(salt uint64, off uint32, head []byte) uint32 {
	var seed [12]byte
	le.PutUint64(seed[:], salt)
	le.PutUint32(seed[8:], off)
	return crc32.Update(crc32.Checksum(seed[:], castagnoli), castagnoli, head)
}

// beginFrame makes room for a head; endFrame fills it in once the payload has been
// appended. The frame begins at b[at:] and in the file at off.
func beginFrame(b []byte) []byte { return append(b, make([]byte, frameHead)...) }

func endFrame(b []byte, at int, salt uint64, off, durable uint32, k kind) []byte {
	head := b[at : at+frameHead]
	payload := b[at+frameHead:]
	le.PutUint32(head[4:], uint32(len(payload)))
	le.PutUint32(head[8:], durable)
	le.PutUint32(head[12:], uint32(k))
	le.PutUint32(head[16:], crc32.Checksum(payload, castagnoli))
	le.PutUint32(head, headSum(salt, off, head[4:]))
	for int64(off)+int64(len(b)-at) < frameEnd(off, len(payload)) {
		b = append(b, 0)
	}
	return b
}

// head is what stands before a frame's payload.
type head struct {
	length, durable uint32
	kind            kind
	sum             uint32
}

// parseHead says whether b begins with the head of a frame at off.
func parseHead(b []byte, salt uint64, off uint32) (h head, ok bool) {
	if le.Uint32(b) != headSum(salt, off, b[4:frameHead]) {
		return h, false
	}
	h = head{le.Uint32(b[4:]), le.Uint32(b[8:]), kind(le.Uint32(b[12:])), le.Uint32(b[16:])}
	return h, h.length <= MaxBatch+frameSize && h.durable <= off && h.kind >= kindBatch && h.kind <= kindSeal
}

// Entry is a line of the table. A nil Value deletes it.
type Entry struct{ Key, Value []byte }

// size is the entry's length in a batch.
func (e *Entry) size() int {
	return uvarintLen(uint64(len(e.Key))) + uvarintLen(e.code()) + len(e.Key) + len(e.Value)
}

// code is what stands for the value's length.
func (e *Entry) code() uint64 {
	if e.Value == nil {
		return 0
	}
	return uint64(len(e.Value)) + 1
}

func (e *Entry) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(e.Key)))
	b = binary.AppendUvarint(b, e.code())
	return append(append(b, e.Key...), e.Value...)
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// parseEntry reads the first entry of b, and says how long it is: 0 if it is none.
// The entry shares b's bytes.
func parseEntry(b []byte) (e Entry, n int) {
	klen, kn := binary.Uvarint(b)
	if kn <= 0 || klen > uint64(len(b)) {
		return e, 0
	}
	code, vn := binary.Uvarint(b[kn:])
	if vn <= 0 || code > uint64(len(b))+1 {
		return e, 0
	}
	at := kn + vn
	vlen := int(max(code, 1) - 1)
	if len(b)-at < int(klen)+vlen {
		return e, 0
	}
	e.Key = b[at : at+int(klen) : at+int(klen)]
	n = at + int(klen) + vlen
	if code > 0 {
		e.Value = b[at+int(klen) : n : n]
	}
	return e, n
}
