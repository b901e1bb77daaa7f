package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fulcrum.example/crux"
)

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func newConfab(t *testing.T, at string, candidates ...string) *Confab {
	t.Helper()
	c, err := New(Config{Addr: addr(at), Candidates: candidates})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func listen(t *testing.T, c *Confab, port uint16) *Socket {
	t.Helper()
	s, err := c.ListenPacket(context.Background(), port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.(*Socket)
}

// buffers makes room for n packets of size bytes.
func buffers(n, size int) []crux.Datagram {
	d := make([]crux.Datagram, n)
	for i := range d {
		d[i].Data = make([]byte, 0, size)
	}
	return d
}

func TestPacketsArriveWholeAndInBatches(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.31.0.1", "[::1]"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			if host == "[::1]" {
				if pc, err := net.ListenPacket("udp", "[::1]:0"); err != nil {
					t.Skip("this machine has no IPv6 loopback")
				} else {
					pc.Close()
				}
			}
			c := newConfab(t, host+":9")
			a, b := listen(t, c, 0), listen(t, c, 0)
			want := map[string]bool{}
			for i := range 40 {
				p := strings.Repeat("x", i+1)
				want[p] = true
				if err := a.WriteTo([]byte(p), b.LocalAddr()); err != nil {
					t.Fatal(err)
				}
			}
			stop := time.AfterFunc(5*time.Second, func() { b.Close() })
			defer stop.Stop()
			in := buffers(16, 64)
			for len(want) > 0 {
				n, err := b.ReadBatch(in)
				if err != nil {
					t.Fatalf("%d packets missing: %v", len(want), err)
				}
				for _, d := range in[:n] {
					if !want[string(d.Data)] {
						t.Fatalf("packet of %d bytes came twice or was never sent", len(d.Data))
					}
					delete(want, string(d.Data))
					if d.From != a.LocalAddr() {
						t.Fatalf("from %s, want %s", d.From, a.LocalAddr())
					}
				}
			}
		})
	}
}

func TestOversizedPacketsAreDroppedAndCounted(t *testing.T) {
	t.Parallel()
	c := newConfab(t, "127.31.0.2:9")
	a, b := listen(t, c, 0), listen(t, c, 0)
	for _, n := range []int{10, 2000, 11, 1500, 12} {
		if err := a.WriteTo(make([]byte, n), b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	stop := time.AfterFunc(5*time.Second, func() { b.Close() })
	defer stop.Stop()
	var sizes []int
	in := buffers(5, 1233)
	for len(sizes) < 3 {
		n, err := b.ReadBatch(in)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[*byte]bool{}
		for i, d := range in {
			if p := &d.Data[:cap(d.Data)][0]; seen[p] {
				t.Fatalf("buffer of slot %d is in two slots", i)
			} else {
				seen[p] = true
			}
		}
		for _, d := range in[:n] {
			sizes = append(sizes, len(d.Data))
		}
	}
	if sizes[0] != 10 || sizes[1] != 11 || sizes[2] != 12 {
		t.Errorf("got packets of %v bytes, want 10, 11, 12", sizes)
	}
	if n, _ := b.Lost(); n != 2 {
		t.Errorf("%d oversized packets counted, want 2", n)
	}
}

func TestNobodyThereIsNotAnError(t *testing.T) {
	t.Parallel()
	c := newConfab(t, "127.31.0.3:9")
	a, b := listen(t, c, 0), listen(t, c, 0)
	dead := b.LocalAddr()
	b.Close()
	for range 20 {
		if err := a.WriteTo([]byte("x"), dead); err != nil {
			t.Fatal(err)
		}
	}
	// No route, and the other family: lost, not failed.
	if err := a.WriteTo([]byte("x"), addr("[2001:db8::1]:9")); err != nil {
		t.Fatal(err)
	}
	if _, n := a.Lost(); n == 0 {
		t.Error("a packet without a route was not counted")
	}
	d := listen(t, c, 0)
	if err := d.WriteTo([]byte("y"), a.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	in := buffers(1, 64)
	if n, err := a.ReadBatch(in); err != nil || n != 1 || string(in[0].Data) != "y" {
		t.Fatalf("ReadBatch = %d, %v", n, err)
	}
}

func TestCloseEndsTheReader(t *testing.T) {
	t.Parallel()
	s := listen(t, newConfab(t, "127.31.0.4:9"), 0)
	done := make(chan error)
	go func() {
		_, err := s.ReadBatch(buffers(1, 64))
		done <- err
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the reader did not end")
	}
	if err := s.WriteTo([]byte("x"), s.LocalAddr()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteTo after Close: %v, want net.ErrClosed", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestAddressInUseNamesTheAddressAndTheRemedy(t *testing.T) {
	t.Parallel()
	c := newConfab(t, "127.31.0.5:9")
	s := listen(t, c, 0)
	_, err := c.ListenPacket(context.Background(), s.LocalAddr().Port())
	if crux.KindOf(err) != crux.Exists || !strings.Contains(err.Error(), s.LocalAddr().String()) || !strings.Contains(err.Error(), "--addr") {
		t.Errorf("got %v", err)
	}
	c = newConfab(t, "198.51.100.7:9", "127.0.0.1")
	if _, err = c.Listen(context.Background(), 0); crux.KindOf(err) != crux.Invalid {
		t.Errorf("foreign address: %v", err)
	}
}

func TestStreamsLeaveFromTheNodesAddress(t *testing.T) {
	t.Parallel()
	a, b := newConfab(t, "127.31.0.6:9"), newConfab(t, "127.31.0.7:9")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	l, err := b.Listen(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := a.Dial(ctx, addr(l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if got := addr(in.RemoteAddr().String()).Addr(); got != a.Addr().Addr() {
		t.Errorf("the stream comes from %s, want %s", got, a.Addr().Addr())
	}
	l.Close()
	if _, err := a.Dial(ctx, addr(l.Addr().String())); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("dial to nobody: %v, want Unavailable", err)
	}
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nodes")
	if err := os.WriteFile(file, []byte("# rack 7\n10.1.0.1\n\n10.1.0.2:99 # odd one\n[fd00::5]:7\nfd00::100/127\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr  string
		items []string
		n     int
		at    map[int]string
	}{
		{"127.31.9.9:70", nil, 254, map[int]string{0: "127.31.9.1:70", 253: "127.31.9.254:70"}},
		{"[::1]:70", nil, 1, map[int]string{0: "[::1]:70"}},
		{"10.0.0.1:70", []string{"10.2.0.0/16"}, 65534, map[int]string{0: "10.2.0.1:70", 255: "10.2.1.0:70", 65533: "10.2.255.254:70"}},
		{"10.0.0.1:70", []string{"10.2.0.8/31", "10.3.0.1/32", "10.4.0.0/30"}, 5, map[int]string{0: "10.2.0.8:70", 1: "10.2.0.9:70", 2: "10.3.0.1:70", 3: "10.4.0.1:70", 4: "10.4.0.2:70"}},
		{"10.0.0.1:70", []string{"@" + file, "::ffff:10.9.9.9"}, 6, map[int]string{0: "10.1.0.1:70", 1: "10.1.0.2:99", 2: "[fd00::5]:7", 4: "[fd00::101]:70", 5: "10.9.9.9:70"}},
		{"[fd00::1]:70", []string{"fd00::ab00:0/112"}, 65536, map[int]string{0: "[fd00::ab00:0]:70", 65535: "[fd00::ab00:ffff]:70"}},
	} {
		cf, err := New(Config{Addr: addr(c.addr), Candidates: c.items})
		if err != nil {
			t.Errorf("%v: %v", c.items, err)
			continue
		}
		got := cf.Candidates()
		if got.Len() != c.n {
			t.Errorf("%v: %d candidates, want %d", c.items, got.Len(), c.n)
			continue
		}
		has := got.(interface{ Contains(netip.AddrPort) bool }).Contains
		if !has(got.At(0)) || !has(got.At(c.n-1)) || has(addr("192.0.2.9:70")) || has(netip.AddrPortFrom(got.At(0).Addr(), 1)) {
			t.Errorf("%v: Contains does not agree with At", c.items)
		}
		for i, want := range c.at {
			if got.At(i).String() != want {
				t.Errorf("%v: At(%d) = %s, want %s", c.items, i, got.At(i), want)
			}
		}
	}
}

func TestBadConfigurationsAreRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr  netip.AddrPort
		items []string
		says  string
	}{
		{netip.AddrPort{}, nil, "ip:port"},
		{addr("10.0.0.1:0"), nil, "ip:port"},
		{addr("0.0.0.0:70"), nil, "not one machine's address"},
		{addr("[fe80::1%eth0]:70"), nil, "one link only"},
		{addr("198.51.100.7:70"), nil, "not an address of this machine"},
		{addr("10.0.0.1:70"), []string{"10.0.0.0/8"}, "too wide"},
		{addr("[fd00::1]:70"), []string{"fd00::/64"}, "/112"},
		{addr("10.0.0.1:70"), []string{"node7"}, `"node7"`},
		{addr("10.0.0.1:70"), []string{"10.0.0.0/33"}, "10.0.0.0/33"},
		{addr("10.0.0.1:70"), []string{"10.0.0.1:0"}, "10.0.0.1:0"},
		{addr("10.0.0.1:70"), []string{"@/nonexistent/list"}, "/nonexistent/list"},
		{addr("10.0.0.1:70"), []string{"10.0.0.0/12", "10.16.0.0/12"}, "more than"},
	} {
		_, err := New(Config{Addr: c.addr, Candidates: c.items})
		if crux.KindOf(err) != crux.Invalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %v: got %v, want an Invalid error that says %q", c.addr, c.items, err, c.says)
		}
	}
}
