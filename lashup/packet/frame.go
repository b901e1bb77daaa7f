package packet

import (
	"encoding/binary"
	"errors"
	"io"

	"fulcrum.example/crux"
)

// MaxFrame is the longest frame, in bytes, without its length.
const MaxFrame = 2 << 20

const (
	lengthSize = 4
	// firstRead is what is set aside for a frame at first: memory grows with what
	// has come, not with what was announced.
	firstRead = 32 << 10
)

// Message is what a frame holds.
type Message interface {
	Size() int              // the length of the encoding, in bytes
	Append(b []byte) []byte // appends the encoding
}

// AppendFrame appends a message as a frame. It fails with Invalid for one that is
// too long.
func AppendFrame(b []byte, m Message) ([]byte, error) {
	start := len(b)
	b = m.Append(append(b, make([]byte, lengthSize)...))
	n := len(b) - start - lengthSize
	if n == 0 || n > MaxFrame {
		return b[:start], crux.Errorf("write frame", crux.Invalid, "a message of %d bytes is no frame", n)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(n))
	return b, nil
}

// ReadFrame reads a frame of at most most bytes. The bytes are the caller's.
// Errors: io.EOF at the end of a stream, Invalid for a length that may not be,
// and what r says.
func ReadFrame(r io.Reader, most int) ([]byte, error) {
	var head [lengthSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > uint32(most) {
		return nil, crux.Errorf("read frame", crux.Invalid, "a frame of %d bytes is announced; want 1 to %d", n, most)
	}
	b := make([]byte, 0, min(n, firstRead))
	for len(b) < int(n) {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, min(int(n), 4*cap(b))), b...)
		}
		got, err := io.ReadFull(r, b[len(b):cap(b)])
		b = b[:len(b)+got]
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}
