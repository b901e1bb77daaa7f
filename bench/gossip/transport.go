package gossip

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// udpOverhead is what IPv4 and UDP add to each datagram.
const udpOverhead = 28

// transport is memberlist's own, with a count of what the member sends.
type transport struct {
	*memberlist.NetTransport
	sent    atomic.Int64
	streams chan net.Conn
	stop    chan struct{} // closed by Shutdown
	passing sync.WaitGroup
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func newTransport(inner *memberlist.NetTransport) *transport {
	t := &transport{NetTransport: inner, streams: make(chan net.Conn), stop: make(chan struct{})}
	t.passing.Go(t.pass)
	return t
}

// pass hands on the streams that others open, counted.
func (t *transport) pass() {
	for {
		select {
		case conn := <-t.NetTransport.StreamCh():
			select {
			case t.streams <- &stream{conn, t}:
			case <-t.stop:
				_ = conn.Close() // nobody is there any more
				return
			}
		case <-t.stop:
			return
		}
	}
}

// Shutdown is called once, by memberlist.
func (t *transport) Shutdown() error {
	err := t.NetTransport.Shutdown()
	close(t.stop)
	t.passing.Wait()
	return err
}

func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	t.sent.Add(int64(len(b) + udpOverhead))
	return t.NetTransport.WriteTo(b, addr)
}

func (t *transport) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	t.sent.Add(int64(len(b) + udpOverhead))
	return t.NetTransport.WriteToAddress(b, addr)
}

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (t *transport) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	conn, err := t.NetTransport.DialAddressTimeout(addr, timeout)
	if err != nil {
		return nil, err
	}
	return &stream{conn, t}, nil
}

type stream struct {
	net.Conn
	t *transport
}

func (s *stream) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	s.t.sent.Add(int64(n))
	return n, err
}
