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

// transport is memberlist's own, with a count of what the member sends, and
// silent once the member hangs: then nothing is sent, and what comes is dropped.
type transport struct {
	*memberlist.NetTransport
	sent    atomic.Int64
	hung    atomic.Bool
	packets chan *memberlist.Packet
	streams chan net.Conn
	stop    chan struct{} // closed by Shutdown
	passing sync.WaitGroup
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func newTransport(inner *memberlist.NetTransport) *transport {
	t := &transport{
		NetTransport: inner, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), stop: make(chan struct{}),
	}
	t.passing.Go(t.passPackets)
	t.passing.Go(t.passStreams)
	return t
}

// passPackets hands on what comes by datagram.
func (t *transport) passPackets() {
	for {
		select {
		case p := <-t.NetTransport.PacketCh():
			if t.hung.Load() {
				continue
			}
			select {
			case t.packets <- p:
			case <-t.stop:
				return
			}
		case <-t.stop:
			return
		}
	}
}

// passStreams hands on the streams that others open, counted. Those to a member
// that hangs are open, and stay so.
func (t *transport) passStreams() {
	var held []net.Conn
	defer func() {
		for _, conn := range held {
			_ = conn.Close() // nobody is there any more
		}
	}()
	for {
		select {
		case conn := <-t.NetTransport.StreamCh():
			if t.hung.Load() {
				held = append(held, conn)
				continue
			}
			select {
			case t.streams <- &stream{conn, t}:
			case <-t.stop:
				held = append(held, conn)
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

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *transport) StreamCh() <-chan net.Conn           { return t.streams }

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	if t.hung.Load() {
		return time.Now(), nil
	}
	t.sent.Add(int64(len(b) + udpOverhead))
	return t.NetTransport.WriteTo(b, addr)
}

func (t *transport) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	if t.hung.Load() {
		return time.Now(), nil
	}
	t.sent.Add(int64(len(b) + udpOverhead))
	return t.NetTransport.WriteToAddress(b, addr)
}

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (t *transport) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if t.hung.Load() {
		return nil, net.ErrClosed
	}
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
	if s.t.hung.Load() {
		return len(b), nil
	}
	n, err := s.Conn.Write(b)
	s.t.sent.Add(int64(n))
	return n, err
}

func (s *stream) Read(b []byte) (int, error) {
	for {
		n, err := s.Conn.Read(b)
		if err != nil || !s.t.hung.Load() {
			return n, err
		}
	}
}
