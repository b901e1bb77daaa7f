package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/flock"
	"fulcrum.example/flock/packet"
)

const (
	readBatch = 32
	readRetry = time.Second
	// Hints about packets with unknown keys: so many addresses at a time, each
	// so often.
	hintAddrs = 64
	hintEvery = 20 * time.Second
)

// sealed is a copy of a packet that came in, from a pool.
type sealed struct {
	n int
	b [flock.MaxPacket]byte
}

var sealedPool = sync.Pool{New: func() any { return new(sealed) }}

func copySealed(p []byte) *sealed {
	s := sealedPool.Get().(*sealed)
	s.n = copy(s.b[:], p)
	return s
}

func (s *sealed) bytes() []byte { return s.b[:s.n] }
func (s *sealed) free()         { sealedPool.Put(s) }

// reader is the goroutine that reads the socket, and opens what is sealed under
// shared keys.
type reader struct {
	n      *Node
	opener *packet.Opener
	isNear func(netip.AddrPort) bool
	hinted map[netip.Addr]time.Duration // when an address may be hinted at again
}

func newReader(n *Node, ring *packet.Ring) *reader {
	return &reader{
		n: n, opener: packet.NewOpener(n.id, ring, n.View),
		isNear: among(n.cfg.Confab.Candidates()),
		hinted: make(map[netip.Addr]time.Duration),
	}
}

// run reads until the socket is closed.
func (r *reader) run() {
	in := make([]crux.Datagram, readBatch)
	for i := range in {
		in[i].Data = make([]byte, 0, flock.MaxPacket)
	}
	for {
		got, err := r.n.socket.ReadBatch(in)
		now := r.n.now()
		for i := range in[:got] {
			if !r.take(now, &in[i]) {
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of memory, perhaps: others see this node fall silent, its
			// operator reads why, and it goes on when it can.
			r.n.log.Error("the flock's socket cannot be read; trying again", "addr", r.n.cfg.Confab.Addr(), "err", err)
			select {
			case <-r.n.cfg.Clock.After(readRetry):
			case <-r.n.stop:
				return
			}
		}
	}
}

// take looks at one packet and hands it on; it says no when the node ends.
func (r *reader) take(now time.Duration, d *crux.Datagram) bool {
	in, v := r.look(now, d)
	if in.sealed == nil { // those are counted where they are opened
		r.n.counters.Add(v)
	}
	if v != seal.Accepted && in.hint == "" {
		return true
	}
	select {
	case r.n.inbox <- in:
		return true
	case <-r.n.stop:
		return false
	}
}

func (r *reader) look(now time.Duration, d *crux.Datagram) (inbound, seal.Verdict) {
	in := inbound{from: d.From}
	h, v := packet.ParseHeader(d.Data, r.n.id)
	if v != seal.Accepted {
		if v == seal.Own && d.From != r.n.cfg.Confab.Addr() {
			in.hint = r.hint(now, d.From, "packets in this node's own name come from %s: its data folder was copied there, or somebody sends its packets back")
		}
		return in, v
	}
	in.header = h
	sealing := packet.SealingOf(h.Kind)
	if sealing == flock.Pair {
		in.sealed = copySealed(d.Data)
		return in, seal.Accepted
	}
	body, v := r.opener.Open(now, d.From, &h, d.Data)
	if v != seal.Accepted {
		if v == seal.UnknownKey && sealing == flock.Discovery {
			in.hint = r.hint(now, d.From, "nodes at %s use another key, bloc or flock name")
		}
		return in, v
	}
	m, err := packet.DecodeBody(h.Kind, body)
	if err != nil {
		return in, seal.BadBody
	}
	in.message = m
	return in, r.n.records.check(now, &h, m)
}

// hint is what to tell the user of a packet that came to nothing from where
// another node could be; empty if it was told lately. Anybody can send such a
// packet: it is a hint, and few are kept.
func (r *reader) hint(now time.Duration, from netip.AddrPort, format string) string {
	a := from.Addr()
	if until, ok := r.hinted[a]; ok && now < until {
		return ""
	}
	if len(r.hinted) >= hintAddrs {
		for k, until := range r.hinted {
			if now >= until {
				delete(r.hinted, k)
			}
		}
	}
	if len(r.hinted) >= hintAddrs || !r.isNear(from) {
		return ""
	}
	r.hinted[a] = now + hintEvery
	return fmt.Sprintf(format, a)
}

// among makes a test for being one of the candidates; those that cannot tell by
// themselves are looked through.
func among(c crux.Candidates) func(netip.AddrPort) bool {
	if has, ok := c.(interface{ Contains(netip.AddrPort) bool }); ok {
		return has.Contains
	}
	return func(a netip.AddrPort) bool {
		for i := range c.Len() {
			if c.At(i) == a {
				return true
			}
		}
		return false
	}
}
