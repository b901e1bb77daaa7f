package fabric

import (
	"context"
	"crypto/rand"
	"sync"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	pb "fulcrum.example/protos/lashup"
)

// API is what lashup serves.
const API crux.API = "lashup1"

// The first elements of the keys that have an owner.
const (
	nodeElement     = "node"
	volatileElement = "volatile"
)

// Client talks to the lashup of one node. Close it.
type Client struct {
	self      crux.NodeID
	conn      *grpc.ClientConn
	fabric    pb.FabricClient
	store     pb.StoreClient
	multicast pb.MulticastClient
	writes    *writes
	trouble   func(why error) // nil: nobody wants to know
}

// Dial makes a client of the lashup on n's node. It returns at once. Calls wait for
// a lashup that is being replaced, and fail with Unavailable where none is
// registered: see Wait.
func Dial(n crux.Node) (*Client, error) {
	conn, err := rpc.Connect(n, crux.Selector{Horde: crux.DefaultHorde, API: API, Node: n.ID()}, 0)
	if err != nil {
		return nil, err
	}
	return newClient(n.ID(), conn), nil
}

// newClient makes a client over a connection, which it then owns.
func newClient(self crux.NodeID, conn *grpc.ClientConn) *Client {
	c := &Client{
		self: self, conn: conn, fabric: pb.NewFabricClient(conn), store: pb.NewStoreClient(conn),
		multicast: pb.NewMulticastClient(conn), writes: &writes{outstanding: map[uint64]struct{}{}},
	}
	c.writes.freed = sync.NewCond(&c.writes.mu)
	_, _ = rand.Read(c.writes.client[:]) // it never fails
	return c
}

// Close ends the connection; calls and watches end with errors.
func (c *Client) Close() error { return c.conn.Close() }

// Wait returns once lashup answers: where calls say that there is none, it goes
// on asking until ctx ends, and then gives that as the error.
func (c *Client) Wait(ctx context.Context) error {
	for {
		_, err := c.store.Hello(ctx, &pb.HelloRequest{})
		if err == nil || crux.KindOf(err) != crux.Unavailable || rest(ctx, maxPause) != nil {
			return err
		}
	}
}

// Self is the node whose lashup the client talks to.
func (c *Client) Self() crux.NodeID { return c.self }

// Own makes a key in this node's own namespace: no other node can write it.
func (c *Client) Own(elements ...string) []string { return OwnedBy(c.self, elements...) }

// Volatile makes a key in this node's own namespace whose value is not kept on
// disk and of which others get the latest only: for what changes all the time,
// such as the depth of a queue. It is gone when the node's lashup is started anew.
func (c *Client) Volatile(elements ...string) []string {
	return c.Own(append([]string{volatileElement}, elements...)...)
}

// OwnedBy makes a key in a node's namespace, for reading.
func OwnedBy(id crux.NodeID, elements ...string) []string {
	return append([]string{nodeElement, id.String()}, elements...)
}

// isVolatile says whether a key is one that Volatile makes.
func isVolatile(key []string) bool {
	return len(key) > 2 && key[0] == nodeElement && key[2] == volatileElement
}
