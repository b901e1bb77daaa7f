package packet

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"fulcrum.example/crux"
)

// text is a message.
type text string

func (m text) Size() int              { return len(m) }
func (m text) Append(b []byte) []byte { return append(b, m...) }

func TestFramesReadBack(t *testing.T) {
	t.Parallel()
	var b []byte
	sizes := []int{1, 9, firstRead - 1, firstRead, firstRead + 1, 4 * firstRead, MaxFrame}
	for _, n := range sizes {
		var err error
		if b, err = AppendFrame(b, text(bytes.Repeat([]byte{byte(n)}, n))); err != nil {
			t.Fatal(err)
		}
	}
	r := iotest.HalfReader(bytes.NewReader(b))
	for _, n := range sizes {
		got, err := ReadFrame(r, MaxFrame)
		if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(n)}, n)) {
			t.Fatalf("%d bytes: %d came, %v", n, len(got), err)
		}
	}
	if _, err := ReadFrame(r, MaxFrame); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v", err)
	}
	for _, n := range []int{0, MaxFrame + 1} {
		if _, err := AppendFrame(nil, text(make([]byte, n))); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestAFrameThatIsAnnouncedAndNotSentTakesLittleMemory(t *testing.T) {
	head := []byte{0, 0x1f, 0xff, 0xff, 1, 2, 3}
	n := testing.AllocsPerRun(10, func() {
		if _, err := ReadFrame(bytes.NewReader(head), MaxFrame); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	})
	if n > 8 {
		t.Errorf("%v allocations", n)
	}
	for _, head := range [][]byte{{0, 0, 0, 0}, {0, 0x20, 0, 1}, {0xff, 0xff, 0xff, 0xff}} {
		if _, err := ReadFrame(bytes.NewReader(head), MaxFrame); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%x: %v", head, err)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 'a', 'b', 0, 0, 0, 1, 'c'})
	f.Add([]byte{0, 0x1f, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		var again []byte
		for {
			p, err := ReadFrame(r, 1<<16)
			if err != nil {
				break
			}
			if again, err = AppendFrame(again, text(p)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatalf("read %x, wrote %x", b, again)
		}
	})
}

// gate is a writer that waits for a token before each write.
type gate struct {
	open chan struct{}
	bytes.Buffer
	writes int
}

func (g *gate) Write(b []byte) (int, error) {
	if _, ok := <-g.open; !ok {
		return 0, io.ErrClosedPipe
	}
	g.writes++
	return g.Buffer.Write(b)
}

func TestAQueueIsBoundedAndKeepsOrder(t *testing.T) {
	t.Parallel()
	q, g := NewQueue(), &gate{open: make(chan struct{}, 1000)}
	done := make(chan error, 1)
	go func() { done <- q.Run(g) }()
	var want []byte
	r := rand.New(rand.NewPCG(1, 2))
	pushed := 0
	for {
		m := text(bytes.Repeat([]byte{byte(pushed)}, 1+r.IntN(1<<17)))
		if !q.Push(m, true) {
			break
		}
		pushed += len(m)
		var err error
		if want, err = AppendFrame(want, m); err != nil {
			t.Fatal(err)
		}
	}
	if pushed > BulkRoom || pushed < BulkRoom-(1<<18) || q.Room() > 1<<17 {
		t.Errorf("%d bytes were taken, room for %d is left", pushed, q.Room())
	}
	small := text("a message that must get through")
	if !q.Push(small, false) {
		t.Error("the reserve is not there")
	}
	want, _ = AppendFrame(want, small)
	for q.Push(text(make([]byte, 1<<20)), false) {
		want, _ = AppendFrame(want, text(make([]byte, 1<<20)))
	}
	q.Close()
	for range cap(g.open) {
		g.open <- struct{}{}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g.Bytes(), want) {
		t.Error("other bytes were written than pushed")
	}
	if q.Push(small, false) || q.Room() != 0 {
		t.Error("a closed queue takes messages")
	}
}

func TestSmallMessagesAreWrittenTogether(t *testing.T) {
	t.Parallel()
	q, g := NewQueue(), &gate{open: make(chan struct{}, 100)}
	for range 1000 {
		q.Push(text("a small message"), false)
	}
	q.Close()
	for range cap(g.open) {
		g.open <- struct{}{}
	}
	if err := q.Run(g); err != nil || g.writes > 2 {
		t.Errorf("%d writes, %v", g.writes, err)
	}
	q, g = NewQueue(), &gate{open: make(chan struct{})}
	close(g.open)
	q.Push(text("x"), false)
	if err := q.Run(g); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a broken link: %v", err)
	}
}
