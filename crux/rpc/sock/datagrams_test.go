package sock

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"fulcrum.example/crux"
)

// openDatagrams opens a socket for the test, or skips it where the machine lacks
// the address family.
func openDatagrams(t *testing.T, network, addr string) *Datagrams {
	t.Helper()
	c, err := net.ListenPacket(network, addr)
	if err != nil {
		t.Skipf("this machine does not take %s: %v", addr, err)
	}
	d, err := NewDatagrams(c.(*net.UDPConn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestDatagramsArriveWholeAndFromWhoSentThem(t *testing.T) {
	for _, c := range []struct{ name, network, a, b string }{
		{"IPv4", "udp4", "127.0.0.1:0", "127.0.0.1:0"},
		{"IPv6", "udp6", "[::1]:0", "[::1]:0"},
		{"IPv4 to a socket of both", "udp", "127.0.0.1:0", "[::]:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, to := c.network, c.network
			if c.network == "udp" {
				from, to = "udp4", "udp"
			}
			a, b := openDatagrams(t, from, c.a), openDatagrams(t, to, c.b)
			at := b.LocalAddr()
			if at.Addr().IsUnspecified() {
				at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.Port())
			}
			in := []crux.Datagram{{Data: make([]byte, 0, 100)}}
			for _, size := range []int{1, 99, 101, 100} { // one is too long, and left out
				sent := bytes.Repeat([]byte{byte(size)}, size)
				if err := a.WriteTo(sent, at); err != nil {
					t.Fatal(err)
				}
				if size > 100 {
					continue
				}
				n, err := b.ReadBatch(in)
				if err != nil || n != 1 || !bytes.Equal(in[0].Data, sent) || in[0].From != a.LocalAddr() {
					t.Fatalf("%d bytes: %d, %v, %d bytes from %v", size, n, err, len(in[0].Data), in[0].From)
				}
			}
			if err := b.WriteTo([]byte("back"), in[0].From); err != nil {
				t.Fatal(err)
			}
			if n, err := a.ReadBatch(in); err != nil || n != 1 || string(in[0].Data) != "back" {
				t.Fatalf("back: %d, %v, %q", n, err, in[0].Data)
			}
		})
	}
}

func TestAClosedSocketSaysSo(t *testing.T) {
	d := openDatagrams(t, "udp4", "127.0.0.1:0")
	done := make(chan error, 1)
	go func() {
		_, err := d.ReadBatch(make([]crux.Datagram, 1))
		done <- err
	}()
	d.Close()
	select {
	case err := <-done:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("a reader gets %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the reader waits on")
	}
	if err := d.WriteTo([]byte("x"), netip.MustParseAddrPort("127.0.0.1:9")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a writer gets %v", err)
	}
	// What nobody receives is lost, as datagrams are.
	o := openDatagrams(t, "udp4", "127.0.0.1:0")
	for range 3 {
		if err := o.WriteTo([]byte("x"), netip.MustParseAddrPort("127.0.0.1:9")); err != nil {
			t.Errorf("to nobody: %v", err)
		}
	}
}

func TestASocketThatIsHandedOnReceivesWhatWasSentBefore(t *testing.T) {
	old := openDatagrams(t, "udp4", "127.0.0.1:0")
	f, err := old.File()
	if err != nil {
		t.Fatal(err)
	}
	if err := old.WriteTo([]byte("hello"), old.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Adopt(f)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	in := []crux.Datagram{{Data: make([]byte, 0, 100)}}
	if n, err := s.ReadBatch(in); err != nil || n != 1 || string(in[0].Data) != "hello" || in[0].From != s.LocalAddr() {
		t.Fatalf("%d, %v, %+v", n, err, in)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := Adopt(r); crux.KindOf(err) != crux.Invalid {
		t.Errorf("a pipe: %v", err)
	}
}
