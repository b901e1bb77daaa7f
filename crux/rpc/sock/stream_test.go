package sock

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// pair gives the two ends of a stream.
func pair(t *testing.T, network, addr string) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dialled.Close()
		accepted.Close()
	})
	return Stream(dialled), Stream(accepted)
}

// onBoth runs a test on a stream of TCP and on one of a unix socket.
func onBoth(t *testing.T, f func(t *testing.T, a, b net.Conn)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			addr := "127.0.0.1:0"
			if network == "unix" {
				dir, err := os.MkdirTemp("", "sock") // t.TempDir may be too long for a socket's name
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.RemoveAll(dir) })
				addr = filepath.Join(dir, "s")
			}
			a, b := pair(t, network, addr)
			for _, c := range []net.Conn{a, b} {
				if _, ok := c.(*stream); !ok {
					t.Fatalf("a %T", c)
				}
			}
			f(t, a, b)
		})
	}
}

func TestAStreamCarriesAllInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b net.Conn) {
		all := make([]byte, 8<<20) // more than the kernel keeps: the writer has to wait
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range all {
			all[i] = byte(rng.Uint32())
		}
		wrote := make(chan error, 1)
		go func() {
			n, err := a.Write(all)
			if err == nil && n != len(all) {
				err = io.ErrShortWrite
			}
			wrote <- errors.Join(err, a.Close())
		}()
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, all) {
			t.Errorf("%d of %d bytes, equal: %v, %v", len(got), len(all), bytes.Equal(got, all), err)
		}
		if err := <-wrote; err != nil {
			t.Error(err)
		}
		if n, err := b.Read(nil); n != 0 || err != nil {
			t.Errorf("nothing: %d, %v", n, err)
		}
	})
}

func TestDeadlinesAndCloseEndWhatWaits(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b net.Conn) {
		if err := b.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		var timeout net.Error
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("after the deadline: %v", err)
		}
		much := make([]byte, 64<<20)
		type result struct {
			n   int
			err error
		}
		wrote := make(chan result, 1)
		go func() {
			n, err := a.Write(much)
			wrote <- result{n, err}
		}()
		if err := b.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Read(make([]byte, 1)); err != nil {
			t.Errorf("after a deadline: %v", err)
		}
		if err := a.SetWriteDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		if w := <-wrote; !errors.Is(w.err, os.ErrDeadlineExceeded) || w.n == 0 || w.n == len(much) {
			t.Errorf("nobody reads on: %d bytes, %v", w.n, w.err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := a.Read(make([]byte, 1))
			done <- err
		}()
		a.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a reader of what is closed gets %v", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a writer gets %v", err)
		}
	})
}

// Who writes to a peer that is gone gets an error, and no signal.
func TestAPeerThatIsGone(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b net.Conn) {
		b.Close()
		var err error
		for deadline := time.Now().Add(10 * time.Second); err == nil && time.Now().Before(deadline); {
			_, err = a.Write([]byte("x"))
		}
		if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a writer gets %v", err)
		}
	})
}

func TestWhatHasNoSocketStaysAsItIs(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if Stream(a) != a {
		t.Error("a pipe in memory is another")
	}
}
