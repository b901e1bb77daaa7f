package socket

import (
	"context"
	"crypto/subtle"
	"net/netip"
	"path/filepath"
	"time"

	"google.golang.org/grpc/metadata"

	"fulcrum.example/crux"
	"fulcrum.example/protos/node"
)

// Metadata keys of protos/node.
const (
	tokenKey  = "fulcrum-token"
	callerKey = "fulcrum-caller"
)

// nodeCaller is the name under which nodes call each other.
const nodeCaller = "fulcrum"

// Config is the node that answers.
type Config struct {
	ID       crux.NodeID
	Addr     netip.AddrPort
	Registry crux.Registry
	Members  crux.Members
	// KeysFor gives the keys of a service or client of this node. Those that a
	// child's handshakes are signed with have SignHandshake, and the signers of
	// their credentials have Handle, as reeve/keys documents.
	KeysFor func(caller string, h crux.Horde) crux.Keys
	// Lease is how long a child lives on without its node.
	Lease time.Duration
	// Dir is where attached clients have their folders, by name; empty: they
	// have none. Only Register needs it.
	Dir string
	// Taken says which callers' names belong to units of this node; nil: none.
	// Only Register needs it.
	Taken func(name string) bool
}

// session is who is calling.
type session struct {
	caller   string
	horde    crux.Horde
	dir      string
	function string
	keys     crux.Keys
	child    *Child // nil for an attached client
}

// identify finds out who makes a call: a child's server knows but one.
type identify func(ctx context.Context) (*session, error)

// one gives the single value of a metadata key.
func one(ctx context.Context, key string) (string, bool) {
	v := metadata.ValueFromIncomingContext(ctx, key)
	if len(v) != 1 {
		return "", false
	}
	return v[0], true
}

// byToken admits whoever knows the child's token.
func byToken(token string, s *session) identify {
	return func(ctx context.Context) (*session, error) {
		got, ok := one(ctx, tokenKey)
		if !ok || subtle.ConstantTimeCompare([]byte(got), []byte(token)) != 1 {
			return nil, crux.Errorf("identify child", crux.Unknown, "the call does not carry the token of this socket's service")
		}
		return s, nil
	}
}

// byName admits clients under the names that they give themselves.
func (cfg *Config) byName(ctx context.Context) (*session, error) {
	const op = "identify caller"
	name, ok := one(ctx, callerKey)
	switch {
	case !ok:
		return nil, crux.Errorf(op, crux.Unknown, "the call names no caller (metadata %s)", callerKey)
	case !crux.ValidName(name):
		return nil, crux.Errorf(op, crux.Invalid, "%q is not a caller's name: want 1 to 63 of a-z, 0-9, dot and hyphen", name)
	case name == nodeCaller:
		return nil, crux.Errorf(op, crux.Denied, "%q is the node itself: attach under another name", name)
	case isService(name), cfg.Taken != nil && cfg.Taken(name):
		return nil, crux.Errorf(op, crux.Denied, "%q is a service's name (it ends in a version): attach under one that ends in a letter", name)
	}
	s := &session{caller: name, horde: crux.DefaultHorde, keys: cfg.KeysFor(name, crux.DefaultHorde)}
	if cfg.Dir != "" {
		s.dir = filepath.Join(cfg.Dir, name)
	}
	return s, nil
}

// isService says whether a name is that of an instance or of an API, of this
// node, another, or none yet: who attached under it could sign as that service.
func isService(name string) bool {
	_, notInst := crux.ParseInst(name)
	_, notAPI := crux.ParseAPI(name)
	return notInst == nil || notAPI == nil
}

// info tells a process where it is.
func (cfg *Config) info(s *session) *node.Info {
	return &node.Info{
		Node: cfg.ID[:], Addr: cfg.Addr.String(), Service: s.caller, Horde: string(s.horde),
		Dir: s.dir, Func: s.function, Lease: cfg.Lease.String(),
	}
}
