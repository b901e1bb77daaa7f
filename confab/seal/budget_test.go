package seal

import (
	"net/netip"
	"testing"
	"time"
)

func TestABudgetGivesItsRateAndNoMore(t *testing.T) {
	t.Parallel()
	b := NewBudget(1, 10, 20)
	from := netip.MustParseAddrPort("10.0.0.1:7")
	took := func(at time.Duration, tries int) (n int) {
		for range tries {
			if b.Take(at, from) {
				n++
			}
		}
		return n
	}
	if n := took(0, 100); n != 20 {
		t.Errorf("the burst gave %d, want 20", n)
	}
	if n := took(time.Second, 100); n != 10 {
		t.Errorf("a second gave %d, want 10", n)
	}
	if n := took(time.Hour, 100); n != 20 {
		t.Errorf("an hour gave %d, want a burst of 20", n)
	}
	if n := took(time.Minute, 100); n != 0 {
		t.Errorf("a clock that went back gave %d", n)
	}
}

// spread is how many packets at once a budget takes of so many sources.
func spread(b *Budget, n int, source func(i int) netip.AddrPort) (took int) {
	for i := range n {
		if b.Take(time.Hour, source(i)) {
			took++
		}
	}
	return took
}

func TestASourceIsAHost(t *testing.T) {
	t.Parallel()
	const n = 1 << 16
	at := func(a netip.Addr, port int) netip.AddrPort { return netip.AddrPortFrom(a, uint16(port)) }
	four, six := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	inNet := func(i int) netip.Addr {
		x := six.As16()
		x[14], x[15] = byte(i>>8), byte(i)
		return netip.AddrFrom16(x)
	}
	for _, c := range []struct {
		name   string
		source func(i int) netip.AddrPort
		want   int
	}{
		{"one port", func(int) netip.AddrPort { return at(four, 7) }, 20},
		{"all ports of an address", func(i int) netip.AddrPort { return at(four, i) }, 20},
		{"as IPv4 and as IPv6", func(i int) netip.AddrPort { return at([]netip.Addr{four, netip.AddrFrom16(four.As16())}[i%2], 7) }, 20},
		{"all ports of an IPv6 address", func(i int) netip.AddrPort { return at(six, i) }, 20},
		{"in any zone", func(i int) netip.AddrPort {
			return at(netip.MustParseAddr("fe80::1").WithZone([]string{"a", "b"}[i%2]), 7)
		}, 20},
		{"all addresses of an IPv6 network", func(i int) netip.AddrPort { return at(inNet(i), i) }, 16 * 20},
		{"many ports of the loopback", func(i int) netip.AddrPort { return at(netip.MustParseAddr("127.0.0.1"), i%4) }, 4 * 20},
		{"and of IPv6's", func(i int) netip.AddrPort { return at(netip.IPv6Loopback(), i%4) }, 4 * 20},
	} {
		if got := spread(NewBudget(1<<20, 10, 20), n, c.source); got != c.want {
			t.Errorf("%s: %d at once, want %d", c.name, got, c.want)
		}
	}
}

func TestAHostDoesNotUseUpTheOthers(t *testing.T) {
	t.Parallel()
	b := NewBudget(1024, 10, 20)
	host := netip.MustParseAddr("10.0.0.1")
	spread(b, 1<<16, func(i int) netip.AddrPort { return netip.AddrPortFrom(host, uint16(i)) })
	other := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 7)
	}
	if took := spread(b, 1000, other); took < 950 {
		t.Errorf("of 1,000 other hosts %d are heard", took)
	}
}

func TestABudgetTakesNoMemory(t *testing.T) {
	b := NewBudget(64, 10, 20)
	from := netip.MustParseAddrPort("[2001:db8::1]:7")
	if n := testing.AllocsPerRun(100, func() { b.Take(0, from) }); n > 0 {
		t.Errorf("%.0f allocations", n)
	}
}
