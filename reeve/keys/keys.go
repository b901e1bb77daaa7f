package keys

import (
	"context"
	"crypto/ed25519"
	"slices"
	"strings"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
)

// Keys are the keys of one service of the node; Ring.For makes them.
type Keys struct {
	ring *Ring
	service
}

var _ crux.Keys = (*Keys)(nil)

// Client gives the credential for calls to an endpoint.
func (k *Keys) Client(_ context.Context, to crux.Endpoint) (crux.Credential, error) {
	id, err := k.ring.identity(roleClient, k.service, to)
	return id.cred, err
}

// Server gives the credential for serving an endpoint of this node. A service
// serves its own instance, and what MayServe adds, in its own horde; only the
// node itself serves the node port.
func (k *Keys) Server(_ context.Context, at crux.Endpoint) (crux.Credential, error) {
	if at.Node != k.ring.self {
		return crux.Credential{}, crux.Errorf("make server key", crux.Denied, "%s is not this node", at.Node)
	}
	if !k.ring.serves(k.service, at) {
		return crux.Credential{}, crux.Errorf("make server key", crux.Denied,
			"%s (horde %s) may not serve %s in horde %s", k.caller, k.horde, at.Inst, at.Horde)
	}
	id, err := k.ring.identity(roleServer, k.service, at)
	return id.cred, err
}

// serves says whether a service of this node may serve an endpoint.
func (r *Ring) serves(s service, at crux.Endpoint) bool {
	switch {
	case at.Inst == rpc.NodeInst:
		return s.caller == NodeCaller
	case s.horde != at.Horde:
		return false
	}
	return s.caller == string(at.Inst) || r.cfg.MayServe(s.caller, at.Horde, at.Inst)
}

// SignHandshake signs with the key that a credential of these keys came with;
// handle is its signer's Handle. NotFound: the handle is of another service, or
// forgotten; ask for the credential again.
func (k *Keys) SignHandshake(handle uint64, msg []byte) ([]byte, error) {
	s, ok := k.ring.handles.get(handle)
	if !ok || s.owner != k.service {
		return nil, crux.Errorf("sign handshake", crux.NotFound, "handle %d is not known; ask for the credential again", handle)
	}
	return s.Sign(nil, msg, nil)
}

// AdmitClient decides on a caller's certificate; see crux.Keys.
func (k *Keys) AdmitClient(_ context.Context, cert []byte, at crux.Endpoint) (crux.Peer, error) {
	const op = "admit client"
	b, err := k.ring.check(op, cert, roleClient)
	if err != nil {
		return crux.Peer{}, err
	}
	if at.Node != k.ring.self || b.to != at {
		return crux.Peer{}, crux.Errorf(op, crux.Denied,
			"%s on node %s presented a key for %s at %s, not for this endpoint", b.caller, b.node(), b.to.Inst, b.to.NetID)
	}
	if err := k.ring.current(op, b); err != nil {
		return crux.Peer{}, err
	}
	if at.Inst == rpc.NodeInst {
		if b.caller != NodeCaller {
			return crux.Peer{}, crux.Errorf(op, crux.Denied, "%s on node %s may not call the node port: only nodes may", b.caller, b.node())
		}
	} else if !k.ring.allowed(b, at) {
		return crux.Peer{}, crux.Errorf(op, crux.Denied,
			"no rule allows %s (on node %s) to call %s in horde %s; add one to the bloc file", b.caller, b.node(), at.Inst.API(), at.Horde)
	}
	return crux.Peer{Node: b.node(), Caller: b.caller, Key: b.key}, nil
}

// allowed says whether a caller on an enrolled node may call an endpoint.
func (r *Ring) allowed(b *binding, at crux.Endpoint) bool {
	if r.cfg.Policy.Allowed(b.caller, at.Horde, at.Inst.API()) {
		return true
	}
	if at.Horde != crux.DefaultHorde || !slices.Contains(r.cfg.Platform, at.Inst.API()) {
		return false
	}
	inst, err := crux.ParseInst(b.caller)
	sibling := err == nil && string(inst) == b.caller && inst.API() == at.Inst.API() && b.callerHorde == crux.DefaultHorde
	return sibling || b.caller == crux.Operator
}

// AdmitServer decides on the certificate of the endpoint that was dialled.
func (k *Keys) AdmitServer(_ context.Context, cert []byte, to crux.Endpoint) (crux.Peer, error) {
	const op = "admit server"
	b, err := k.ring.check(op, cert, roleServer)
	if err != nil {
		return crux.Peer{}, err
	}
	if b.to != to || b.node() != to.Node || b.caller != string(to.Inst) {
		return crux.Peer{}, crux.Errorf(op, crux.Unknown,
			"what answers at %s is %s of node %s (at %s), not %s of node %s", to.NetID, b.to.Inst, b.node(), b.to.NetID, to.Inst, to.Node)
	}
	if err := k.ring.current(op, b); err != nil {
		return crux.Peer{}, err
	}
	return crux.Peer{Node: b.node(), Caller: b.caller, Key: b.key}, nil
}

// check parses a certificate (or finds it checked) and sees that it is of this
// bloc and of the role that is expected.
func (r *Ring) check(op string, cert []byte, role string) (*binding, error) {
	sum := certificateSum(cert)
	b, ok := r.checked.get(sum)
	if !ok {
		var err error
		if b, err = parseCertificate(cert); err != nil {
			return nil, crux.Wrap(op, err)
		}
		// Only what an enrolled node signed takes room in the cache.
		if r.cfg.Policy.Enrolled(b.nodeKey) {
			r.checked.put(sum, b)
		}
	}
	if bloc := r.cfg.Policy.Bloc(); b.bloc != bloc {
		return nil, crux.Errorf(op, crux.Unknown, "node %s is of bloc %q, this one is of %q", b.node(), b.bloc, bloc)
	}
	if b.role != role {
		return nil, crux.Errorf(op, crux.Unknown, "node %s presented a %s's certificate where a %s's is due", b.node(), b.role, role)
	}
	return b, nil
}

// current sees that the binding's node is enrolled and was not sent away, and
// that the key's generation counts still.
func (r *Ring) current(op string, b *binding) error {
	id := b.node()
	m, member := r.cfg.Members.View().Member(id)
	if member && !m.Key.Equal(b.nodeKey) {
		return crux.Errorf(op, crux.Unknown, "node %s is known by another key", id)
	}
	if !r.cfg.Policy.Enrolled(b.nodeKey) {
		return crux.Errorf(op, crux.Unknown, "node %s is not enrolled; add its key to the bloc file", id)
	}
	r.mu.Lock()
	evicted := r.evicted[id]
	until, silent := r.silent[id]
	r.mu.Unlock()
	if evicted {
		return crux.Errorf(op, crux.Denied, "node %s was evicted from the flock", id)
	}
	silent = silent && !r.cfg.Clock.Now().After(until)
	if r.cfg.Policy.Open() && !member && !silent {
		return crux.Errorf(op, crux.Unavailable, "node %s is not known as a member of the flock yet; try again", id)
	}
	if floor := r.floor(b); b.generation < floor {
		return crux.Errorf(op, crux.Denied, "the key of %s on node %s for %s was revoked", b.caller, id, b.to.Inst)
	}
	return nil
}

// Sign signs msg with the node key under a label of the service's own API.
func (k *Keys) Sign(_ context.Context, label string, msg []byte) ([]byte, error) {
	if err := k.ownLabel("sign", label); err != nil {
		return nil, err
	}
	return ed25519.Sign(k.ring.cfg.NodeKey, crux.Labelled(label, msg)), nil
}

// Verify checks what Sign made on another node.
func (k *Keys) Verify(_ context.Context, node crux.NodeID, label string, msg, sig []byte) error {
	const op = "verify signature"
	if err := k.ownLabel(op, label); err != nil {
		return err
	}
	m, ok := k.ring.cfg.Members.View().Member(node)
	if !ok {
		return crux.Errorf(op, crux.Unknown, "node %s is not a member", node)
	}
	if len(m.Key) != ed25519.PublicKeySize || len(sig) != ed25519.SignatureSize ||
		!ed25519.Verify(m.Key, crux.Labelled(label, msg), sig) {
		return crux.Errorf(op, crux.Corrupt, "the signature is not node %s's", node)
	}
	return nil
}

// ownLabel sees that label is LabelService, the service's own API, and then
// nothing or something set apart by a space, slash or colon.
func (k *Keys) ownLabel(op, label string) error {
	api := k.caller
	if i, err := crux.ParseInst(k.caller); err == nil {
		api = string(i.API())
	}
	rest, ok := strings.CutPrefix(label, crux.LabelService+api)
	if ok && (rest == "" || strings.ContainsRune(" /:", rune(rest[0]))) {
		return nil
	}
	return crux.Errorf(op, crux.Denied, "%s may use labels that begin with %q only", k.caller, crux.LabelService+api+" ")
}

// Revoked is closed when admitted connections must be checked again.
func (k *Keys) Revoked() <-chan struct{} { return k.ring.Revoked() }
