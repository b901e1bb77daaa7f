// Package operator is what an operator does to a node from outside, through the
// node's fulcrum.sock: look, publish, roll out. The command line prints what it
// returns; the demo drives a bloc with it. It belongs to the composition
// (fulcrum/); a Client may be used from any goroutine.
package operator

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/service"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/admin"
)

// SocketName is the operator's socket in a node's data folder.
const SocketName = service.SocketName

// Client talks to one node. Errors of its methods have kinds (crux.KindOf).
type Client struct {
	conn *grpc.ClientConn
	rpc  admin.AdminClient
	at   string
}

// locate finds the socket at a path, or in the data folder that it is, or says
// plainly that there is no node.
func locate(at string) (string, error) {
	if st, err := os.Stat(at); err == nil && st.IsDir() {
		at = filepath.Join(at, SocketName)
	}
	switch _, err := os.Stat(at); {
	case errors.Is(err, fs.ErrNotExist):
		return "", crux.Errorf("connect", crux.NotFound,
			"there is no node at %s: start one with 'fulcrum up' or 'fulcrum dev', or name its socket with --node or FULCRUM_NODE", at)
	case errors.Is(err, fs.ErrPermission):
		return "", crux.Errorf("connect", crux.Denied, "%s: permission denied: the socket is for the node's own user", at)
	case err != nil:
		return "", crux.Errorf("connect", crux.Unavailable, "%w", err)
	}
	return at, nil
}

// Dial makes a client of the node at a socket, or in a data folder. It says
// plainly when there is none; it does not wait for one.
func Dial(at string) (*Client, error) {
	at, err := locate(at)
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(at)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("unix://"+abs, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, crux.Errorf("connect", crux.Unavailable, "%s: %w", at, err)
	}
	return &Client{conn, admin.NewAdminClient(conn), at}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// said turns what a call returned into an error of ours, and a connection that
// failed into words that help.
func (c *Client) said(err error) error {
	err = wire.FromStatus(err)
	if crux.KindOf(err) == crux.Unavailable && isTransport(err) {
		return crux.Errorf("connect", crux.Unavailable, "no node answers at %s: is its fulcrum running?", c.at)
	}
	return err
}

// isTransport tells an Unavailable of the socket from one that a node said.
// gRPC gives both the same code, and only the text differs.
func isTransport(err error) bool {
	s := err.Error()
	return strings.Contains(s, "connection error") || strings.Contains(s, "error reading from server") ||
		strings.Contains(s, "transport is closing") || strings.HasSuffix(s, "EOF")
}

// Evict removes a member from the flock.
func (c *Client) Evict(ctx context.Context, id crux.NodeID) error {
	_, err := c.rpc.Evict(ctx, &admin.EvictRequest{Node: wire.NodeIDTo(id)})
	return c.said(err)
}

// ApplyBloc hands a newer bloc file to the node.
func (c *Client) ApplyBloc(ctx context.Context, file []byte) (version uint64, err error) {
	r, err := c.rpc.ApplyBloc(ctx, &admin.ApplyBlocRequest{File: file})
	return r.GetVersion(), c.said(err)
}
