package udp

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"os"
	"sort"
	"strings"

	"fulcrum.example/crux"
)

// Bounds of what a node probes. Beyond them addresses are not "reasonably
// dense", and a whole net would take hours to go through.
const (
	maxCandidates = 1 << 20
	minBits4      = 12  // widest IPv4 net
	minBits6      = 112 // widest IPv6 net
	maxListFile   = 16 << 20
)

// span is a run of addresses that follow one another, with one port.
type span struct {
	first netip.Addr
	n     int
	port  uint16
	start int // index of first among all candidates
}

// candidates is a list of spans.
type candidates struct {
	spans []span
	n     int
}

var _ crux.Candidates = (*candidates)(nil)

// Len implements crux.Candidates.
func (c *candidates) Len() int { return c.n }

// At implements crux.Candidates.
func (c *candidates) At(i int) netip.AddrPort {
	s := c.spans[sort.Search(len(c.spans), func(k int) bool { return c.spans[k].start > i })-1]
	return netip.AddrPortFrom(offset(s.first, i-s.start), s.port)
}

// Contains says whether a is among the candidates, without going through them.
func (c *candidates) Contains(a netip.AddrPort) bool {
	for _, s := range c.spans {
		last := offset(s.first, s.n-1)
		if a.Port() == s.port && a.Addr().Is4() == s.first.Is4() && s.first.Compare(a.Addr()) <= 0 && a.Addr().Compare(last) <= 0 {
			return true
		}
	}
	return false
}

func (c *candidates) add(first netip.Addr, n int, port uint16) error {
	if c.n+n > maxCandidates {
		return crux.Errorf("", crux.Invalid, "more than %d candidate addresses; name fewer or smaller networks (--candidates)", maxCandidates)
	}
	c.spans = append(c.spans, span{first: first, n: n, port: port, start: c.n})
	c.n += n
	return nil
}

// offset is the address i after a. Spans never cross 2^32 addresses, so that
// only the last four bytes move.
func offset(a netip.Addr, i int) netip.Addr {
	b := a.As16()
	v := uint32(b[12])<<24 | uint32(b[13])<<16 | uint32(b[14])<<8 | uint32(b[15])
	v += uint32(i)
	b[12], b[13], b[14], b[15] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
	o := netip.AddrFrom16(b)
	if a.Is4() {
		return o.Unmap()
	}
	return o.WithZone(a.Zone())
}

// newCandidates reads the configuration, or takes the node's own subnet.
func newCandidates(self netip.AddrPort, items []string) (*candidates, error) {
	c := new(candidates)
	given := false
	for _, it := range items {
		if it = strings.TrimSpace(it); it == "" {
			continue
		}
		given = true
		if file, ok := strings.CutPrefix(it, "@"); ok {
			if err := c.addFile(self, file); err != nil {
				return nil, err
			}
			continue
		}
		if err := c.addItem(self, it); err != nil {
			return nil, err
		}
	}
	if given {
		return c, nil
	}
	p, err := ownSubnet(self.Addr())
	if err != nil {
		return nil, err
	}
	return c, c.addPrefix(p, self.Port())
}

// addFile reads one item a line; # begins a comment.
func (c *candidates) addFile(self netip.AddrPort, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return crux.Errorf("", crux.Invalid, "cannot read the list of candidates: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > maxListFile {
		return crux.Errorf("", crux.Invalid, "the list of candidates %s is %d bytes long; the limit is %d", file, st.Size(), maxListFile)
	}
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		line, _, _ := bytes.Cut(sc.Bytes(), []byte("#"))
		it := strings.TrimSpace(string(line))
		if it == "" {
			continue
		}
		if err := c.addItem(self, it); err != nil {
			return crux.Errorf("", crux.Invalid, "%s line %d: %w", file, n, err)
		}
	}
	if err := sc.Err(); err != nil {
		return crux.Errorf("", crux.Invalid, "cannot read the list of candidates %s: %w", file, err)
	}
	return nil
}

// addItem reads an address, an address with a port, or a network.
func (c *candidates) addItem(self netip.AddrPort, it string) error {
	if strings.Contains(it, "/") {
		p, err := netip.ParsePrefix(it)
		if err != nil {
			return crux.Errorf("", crux.Invalid, "candidate %q is not a network: want one as 10.0.0.0/24", it)
		}
		return c.addPrefix(p.Masked(), self.Port())
	}
	if ap, err := netip.ParseAddrPort(it); err == nil && ap.Port() != 0 {
		return c.add(ap.Addr().Unmap(), 1, ap.Port())
	}
	a, err := netip.ParseAddr(it)
	if err != nil {
		return crux.Errorf("", crux.Invalid, "candidate %q is neither an address (10.0.0.7 or 10.0.0.7:7946), a network (10.0.0.0/24) nor a file (@FILE)", it)
	}
	return c.add(a.Unmap(), 1, self.Port())
}

// addPrefix adds the host addresses of a network: for IPv4 without the
// network's own and the broadcast address.
func (c *candidates) addPrefix(p netip.Prefix, port uint16) error {
	a := p.Addr().Unmap()
	bits := p.Bits()
	if p.Addr().Is4In6() {
		bits -= 96
	}
	switch {
	case a.Is4() && bits < minBits4:
		return crux.Errorf("", crux.Invalid, "network %s is too wide to look for nodes in; want at most a /%d, or a list of addresses (--candidates)", p, minBits4)
	case a.Is6() && bits < minBits6:
		return crux.Errorf("", crux.Invalid, "network %s is too wide to look for nodes in; for IPv6 list the nodes' addresses, or a network of at most /%d (--candidates)", p, minBits6)
	}
	n := 1 << (a.BitLen() - bits)
	if a.Is4() && n > 2 {
		return c.add(a.Next(), n-2, port)
	}
	return c.add(a, n, port)
}

// ownSubnet is the network of the interface that has addr; on loopback, whose
// own would be a /8, the /24 around the address.
func ownSubnet(addr netip.Addr) (netip.Prefix, error) {
	if addr.IsLoopback() {
		bits := 128
		if addr.Is4() {
			bits = 24
		}
		return addr.Prefix(bits)
	}
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Prefix{}, crux.Errorf("", crux.Unavailable, "cannot list this machine's addresses: %w", err)
	}
	for _, a := range nets {
		ipn, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(ipn.IP)
		if !ok || ip.Unmap() != addr.WithZone("") {
			continue
		}
		bits, size := ipn.Mask.Size()
		if addr.Is4() && size == 128 {
			bits -= 96
		}
		return addr.WithZone("").Prefix(bits)
	}
	return netip.Prefix{}, crux.Errorf("", crux.Invalid, "%s is not an address of this machine; give one that is (--addr), or say where the other nodes are (--candidates)", addr)
}
