package log

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"fulcrum.example/lashup/store/vfs"
)

// scanner reads the frames of a segment in their order. What it gives is valid until
// the next call.
type scanner struct {
	f     vfs.File
	salt  uint64
	off   uint32 // of the next frame
	limit uint32 // where the segment ends
	buf   []byte // the file's bytes from start
	start uint32
}

// chunk is how much is read at a time.
const chunk = 256 << 10

// invalid says why there is no frame.
type invalid struct {
	off uint32
	why string
}

func (i *invalid) Error() string { return fmt.Sprintf("byte %d: %s", i.off, i.why) }

// at gives n bytes of the file from off; fewer where the segment ends.
func (s *scanner) at(off uint32, n int) ([]byte, error) {
	n = min(n, int(s.limit-off))
	if off >= s.start && int(off-s.start)+n <= len(s.buf) {
		return s.buf[off-s.start:][:n], nil
	}
	want := min(max(n, chunk), int(s.limit-off))
	if cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	s.buf, s.start = s.buf[:want], off
	got, err := s.f.ReadAt(s.buf, int64(off))
	s.buf = s.buf[:got]
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return s.buf[:min(n, got)], nil
}

// next gives the next frame: io.EOF at the segment's end, *invalid where there is
// none, another error where the file cannot be read.
func (s *scanner) next() (frame, error) {
	if s.off >= s.limit {
		return frame{}, io.EOF
	}
	f, err := s.frame(s.off)
	if err == nil {
		s.off = f.end
	}
	return f, err
}

func (s *scanner) frame(off uint32) (f frame, err error) {
	b, err := s.at(off, frameHead)
	if err != nil {
		return f, err
	}
	if len(b) < frameHead {
		return f, &invalid{off, "the file ends inside a frame"}
	}
	h, ok := parseHead(b, s.salt, off)
	if !ok {
		return f, &invalid{off, "what is there is not the head of a frame"}
	}
	end := frameEnd(off, int(h.length))
	if end > int64(s.limit) {
		return f, &invalid{off, "the file ends inside a frame"}
	}
	if b, err = s.at(off, frameHead+int(h.length)); err != nil {
		return f, err
	}
	if len(b) < frameHead+int(h.length) {
		return f, &invalid{off, "the file ends inside a frame"}
	}
	payload := b[frameHead:]
	if crc32.Checksum(payload, castagnoli) != h.sum {
		return f, &invalid{off, "a frame does not match its checksum"}
	}
	return frame{h.kind, off, uint32(end), h.durable, payload}, nil
}

// seek goes to the first valid frame after off, and says whether there is one.
func (s *scanner) seek(off uint32) (f frame, ok bool, err error) {
	const step = chunk - chunk%align
	for at := off/align*align + align; at < s.limit; {
		b, err := s.at(at, step+frameHead)
		if err != nil {
			return f, false, err
		}
		var i int
		for i = 0; i+frameHead <= len(b) && i < step; i += align {
			if _, ok := parseHead(b[i:], s.salt, at+uint32(i)); !ok {
				continue
			}
			f, err := s.frame(at + uint32(i))
			var bad *invalid
			switch {
			case err == nil:
				s.off = f.off
				return f, true, nil
			case !errors.As(err, &bad):
				return f, false, err
			}
			if b, err = s.at(at, step+frameHead); err != nil { // the buffer was used
				return f, false, err
			}
		}
		if i == 0 {
			break
		}
		at += uint32(i)
	}
	return f, false, nil
}

// entries calls do for each entry of a batch, with its place in the file and its
// length. A batch that matches its checksum but cannot be read was written wrongly;
// it is invalid all the same.
func (f *frame) entries(do func(off uint32, n int, e Entry) error) error {
	if f.kind != kindBatch {
		return nil
	}
	for b := f.payload; len(b) > 0; {
		e, n := parseEntry(b)
		off := f.off + frameHead + uint32(len(f.payload)-len(b))
		if n == 0 {
			return &invalid{off, "what is there is not an entry"}
		}
		if err := do(off, n, e); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
