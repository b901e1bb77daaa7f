package crux

import (
	"context"
	"crypto"
	"log/slog"
)

// Service is a service routine. It serves until quit is closed (or until its
// own reasons end it) and then returns; it sends a heartbeat for each of its
// endpoints on alive. One routine may serve several endpoints. crux/rpc.Serve
// does the serving and the beating for it.
type Service func(quit <-chan bool, alive chan<- []Fservice, network Node)

// Node is what a service routine is given of the node that it runs on: its
// networking and, beyond that, the registry, the keys, the members of the
// flock, and a folder of its own. There are no ambient globals, so that many
// nodes fit one process. All methods may be called from any goroutine.
type Node interface {
	Confab
	// ID names the node.
	ID() NodeID
	// Service is who the routine is: the instance that picket started, as
	// "galumph2_3", or the name under which a client attached. Allow rules and
	// endpoint keys name it as the caller.
	Service() string
	// Horde is the horde that the routine runs in.
	Horde() Horde
	Registry() Registry
	Keys() Keys
	Members() Members
	// Dir is a folder that belongs to this service on this node and survives
	// restarts and new versions (it is named by API, not by instance).
	Dir() string
	// Log is where the routine logs to.
	Log() *slog.Logger
}

// Operator is the name under which fulcrum's own commands attach to a node. Who
// may open the node's socket may use it; the platform's own services answer it
// without a rule in the bloc file.
const Operator = "fulcrum-operator"

// Endpoint names the destination of a call, or the server itself.
type Endpoint struct {
	Node  NodeID
	Horde Horde
	Inst  Inst
	NetID NetID
}

// Credential is a certificate and the means to prove its possession. The
// private key stays on the node: Signer asks the node to sign.
type Credential struct {
	Certificate []byte // one self-signed X.509 certificate, DER, with the binding in an extension
	Signer      crypto.Signer
	Generation  uint32
}

// Peer is who is at the other end of a connection, once admitted.
type Peer struct {
	Node   NodeID
	Caller string // the calling service, or the serving instance
	Key    []byte // the endpoint's public key
}

// Keys makes and checks endpoint identities. Keys are unique to (originating
// node, calling service, destination endpoint), derived on the node, and
// certified by the node key.
type Keys interface {
	// Client gives the credential for calls from this service to an endpoint.
	Client(ctx context.Context, to Endpoint) (Credential, error)
	// Server gives the credential for serving an endpoint of this node.
	Server(ctx context.Context, at Endpoint) (Credential, error)
	// AdmitClient decides on a caller's certificate, presented to our endpoint
	// at: its node must be enrolled, the binding correct and for this very
	// endpoint, its generation not revoked, and a rule must allow the call.
	// Errors are of kind Unknown or Denied.
	AdmitClient(ctx context.Context, cert []byte, at Endpoint) (Peer, error)
	// AdmitServer decides on the certificate of the endpoint that we dialled.
	AdmitServer(ctx context.Context, cert []byte, to Endpoint) (Peer, error)
	// Sign signs msg with the node key, under a label that begins with
	// LabelService and the service's own API; any member can verify it.
	Sign(ctx context.Context, label string, msg []byte) ([]byte, error)
	// Verify checks what Sign made on node by a service of the same API.
	Verify(ctx context.Context, node NodeID, label string, msg, sig []byte) error
	// Revoked is closed when connections that were admitted so far must be
	// checked again (a revocation, an eviction, new rules); ask anew for the next.
	Revoked() <-chan struct{}
}
