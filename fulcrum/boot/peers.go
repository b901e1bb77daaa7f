package boot

import (
	"context"
	"net/netip"
	"sync"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
)

// peers shares one gRPC connection to each member's node port among the
// services of this node, and closes those of members that left, moved or came
// back as another incarnation.
type peers struct {
	dial func(m crux.Member) (*grpc.ClientConn, error)

	mu     sync.Mutex
	conns  map[crux.NodeID]peerConn
	closed bool
}

type peerConn struct {
	addr netip.AddrPort
	conn *grpc.ClientConn
}

func newPeers(dial func(m crux.Member) (*grpc.ClientConn, error)) *peers {
	return &peers{dial: dial, conns: map[crux.NodeID]peerConn{}}
}

// Dial gives the connection to a member. It does not block: gRPC connects when
// the first call is made.
func (p *peers) Dial(_ context.Context, m crux.Member) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, crux.Errorf("dial "+m.ID.String(), crux.Canceled, "this node is ending")
	}
	if c, ok := p.conns[m.ID]; ok {
		if c.addr == m.Addr {
			return c.conn, nil
		}
		c.conn.Close()
		delete(p.conns, m.ID)
	}
	conn, err := p.dial(m)
	if err != nil {
		return nil, crux.Wrap("dial "+m.ID.String(), err)
	}
	p.conns[m.ID] = peerConn{m.Addr, conn}
	return conn, nil
}

// follow closes connections to nodes that are members no longer, until the
// views end.
func (p *peers) follow(views <-chan *crux.View) {
	for v := range views {
		p.mu.Lock()
		for id, c := range p.conns {
			if _, ok := v.Member(id); !ok {
				c.conn.Close()
				delete(p.conns, id)
			}
		}
		p.mu.Unlock()
	}
}

func (p *peers) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for id, c := range p.conns {
		c.conn.Close()
		delete(p.conns, id)
	}
}
