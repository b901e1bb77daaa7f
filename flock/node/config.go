package node

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"net/netip"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"google.golang.org/grpc"
)

// Config is what a node's flock is made of. What is not said to be optional is
// needed.
type Config struct {
	// Confab is the node's networking. Datagrams go through its own port.
	Confab crux.Confab
	// Policy is the bloc file in force, or bloc.OpenPolicy. When a higher
	// version is put in force there (Policy.Replace), the flock acts by it.
	Policy *bloc.Policy
	// FlockName keeps flocks apart: others never merge with this one.
	FlockName string
	// Key is the node key and Incarnation the number of this run, as
	// LoadIdentity gives them.
	Key         ed25519.PrivateKey
	Incarnation uint64
	// Secrets are the bloc's secondary keys: the current one first, then, while
	// keys are being changed, the one before.
	Secrets []bloc.Secondary
	// Clock is optional: the machine's.
	Clock crux.Clock
	// Log is optional.
	Log *slog.Logger
	// Dial connects to the node port of another member, with TLS between
	// node-certified endpoints. Optional: without it pairwise keys rest on what
	// datagrams can agree on (classical), and a newer bloc file that another
	// node has is not fetched.
	Dial DialFunc
}

// DialFunc connects to the node port of the member id at addr. The caller
// closes the connection. The key exchange of its TLS must be X25519MLKEM768.
type DialFunc func(ctx context.Context, id crux.NodeID, addr netip.AddrPort) (*grpc.ClientConn, error)
