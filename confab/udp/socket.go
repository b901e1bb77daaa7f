package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/ipv4"

	"fulcrum.example/crux"
)

// socketBuffer is what is asked of the kernel for each direction: a leader of
// thousands hears from all of them within one interval. The kernel gives what
// its limits allow (net.core.rmem_max).
const socketBuffer = 8 << 20

// Socket is a UDP socket: crux.Datagrams with counters.
type Socket struct {
	conn  *net.UDPConn
	batch *ipv4.PacketConn // recvmmsg; it reads IPv6 sockets as well
	local netip.AddrPort
	msgs  []ipv4.Message // the reader's own

	oversized, unsent atomic.Uint64
}

var _ crux.Datagrams = (*Socket)(nil)

func newSocket(conn *net.UDPConn) *Socket {
	// Smaller buffers than asked for are no reason to stay down.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	return &Socket{
		conn:  conn,
		batch: ipv4.NewPacketConn(conn),
		local: unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort()),
	}
}

// LocalAddr implements crux.Datagrams.
func (s *Socket) LocalAddr() netip.AddrPort { return s.local }

// Lost counts packets that came to nothing: those received that were longer
// than the reader's buffer, and those that the machine could not send (no
// buffer, no route). Nothing is logged for each, as whoever floods a node would
// then fill its disk. Any goroutine may ask.
func (s *Socket) Lost() (oversized, unsent uint64) {
	return s.oversized.Load(), s.unsent.Load()
}

// ReadBatch implements crux.Datagrams. The capacity of each Data is the room
// that there is for a packet; one without capacity takes none.
func (s *Socket) ReadBatch(into []crux.Datagram) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	for {
		got, err := s.batch.ReadBatch(s.messages(into), 0)
		if err != nil {
			if transient(err) {
				continue
			}
			return 0, readError(err)
		}
		if n := s.keep(into, got); n > 0 {
			return n, nil
		}
	}
}

// messages points the kernel at the buffers of into.
func (s *Socket) messages(into []crux.Datagram) []ipv4.Message {
	for len(s.msgs) < len(into) {
		s.msgs = append(s.msgs, ipv4.Message{Buffers: make([][]byte, 1)})
	}
	for i := range into {
		s.msgs[i].Buffers[0] = into[i].Data[:cap(into[i].Data)]
	}
	return s.msgs[:len(into)]
}

// keep hands over what came whole. The buffers change places so that each stays
// in one slot only.
func (s *Socket) keep(into []crux.Datagram, got int) int {
	n := 0
	for i := range got {
		m := &s.msgs[i]
		from, ok := m.Addr.(*net.UDPAddr)
		if m.Flags&syscall.MSG_TRUNC != 0 {
			s.oversized.Add(1)
			continue
		}
		if !ok {
			continue
		}
		if i != n {
			into[i].Data = into[n].Data
		}
		into[n].Data = m.Buffers[0][:m.N]
		into[n].From = unmap(from.AddrPort())
		n++
	}
	return n
}

// WriteTo implements crux.Datagrams.
func (s *Socket) WriteTo(b []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(b, to)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, net.ErrClosed):
		return net.ErrClosed
	}
	s.unsent.Add(1)
	return nil
}

// File gives a second descriptor of the socket, to hand to another process. The
// caller closes it.
func (s *Socket) File() (*os.File, error) {
	f, err := s.conn.File()
	if err != nil {
		return nil, crux.Errorf("hand over UDP socket", crux.Unavailable, "%w", err)
	}
	return f, nil
}

// Close implements crux.Datagrams.
func (s *Socket) Close() error {
	if err := s.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return crux.Wrap("close UDP socket", err)
	}
	return nil
}

// transient says whether an error tells of a packet rather than of the socket:
// Linux reports ICMP errors of earlier sends at the next call.
func transient(err error) bool {
	for _, e := range [...]error{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
		syscall.EHOSTDOWN, syscall.ENETDOWN, syscall.EMSGSIZE, syscall.EINTR, syscall.EAGAIN,
		syscall.ENOBUFS, syscall.EPROTO, syscall.ENOPROTOOPT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func readError(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	return crux.Errorf("read UDP socket", crux.Unavailable, "%w", err)
}
