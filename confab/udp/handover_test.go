package udp

import (
	"net/netip"
	"os"
	"testing"

	"fulcrum.example/crux"
)

func TestASocketThatIsHandedOnReceivesWhatWasSentBefore(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Addr: netip.MustParseAddrPort("127.0.0.1:9")})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.ListenPacket(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	old := d.(*Socket)
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
