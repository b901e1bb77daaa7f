package service

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/node"
)

const (
	// signPatience is how long a handshake waits for a node that is away.
	signPatience = 8 * time.Second
	// maxCredentials bounds what is kept of the node's answers.
	maxCredentials = 1024
)

// keys is crux.Keys by way of the node: it signs, and decides.
type keys struct {
	client node.NodeClient

	mu      sync.Mutex
	known   map[credentialName]*credential
	revoked chan struct{}
}

type credentialName struct {
	server bool
	at     crux.Endpoint
}

// credential is what the node gave for an endpoint. It is immutable.
type credential struct {
	crux.Credential
	public ed25519.PublicKey
	handle uint64
}

var _ crux.Keys = (*keys)(nil)

func newKeys(c node.NodeClient) *keys {
	return &keys{client: c, known: make(map[credentialName]*credential), revoked: make(chan struct{})}
}

// Client gives the credential for calls to an endpoint.
func (k *keys) Client(ctx context.Context, to crux.Endpoint) (crux.Credential, error) {
	return k.credential(ctx, credentialName{false, to})
}

// Server gives the credential for serving an endpoint of this node.
func (k *keys) Server(ctx context.Context, at crux.Endpoint) (crux.Credential, error) {
	return k.credential(ctx, credentialName{true, at})
}

func (k *keys) credential(ctx context.Context, name credentialName) (crux.Credential, error) {
	k.mu.Lock()
	c, ok := k.known[name]
	k.mu.Unlock()
	if !ok {
		var err error
		if c, err = k.ask(ctx, name); err != nil {
			return crux.Credential{}, err
		}
	}
	out := c.Credential
	out.Signer = &signer{keys: k, name: name, public: c.public}
	return out, nil
}

// ask gets a credential from the node and keeps it.
func (k *keys) ask(ctx context.Context, name credentialName) (*credential, error) {
	r, err := k.client.Credential(ctx, &node.CredentialRequest{Server: name.server, Endpoint: wire.EndpointTo(name.at)}, grpc.WaitForReady(true))
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(r.GetCertificate())
	if err != nil {
		return nil, crux.Errorf("get credential", crux.Corrupt, "the node's certificate does not parse: %w", err)
	}
	public, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, crux.Errorf("get credential", crux.Corrupt, "the node's certificate is not for an Ed25519 key")
	}
	c := &credential{
		Credential: crux.Credential{Certificate: r.GetCertificate(), Generation: r.GetGeneration()},
		public:     public, handle: r.GetHandle(),
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.known) >= maxCredentials {
		clear(k.known)
	}
	k.known[name] = c
	return c, nil
}

// signer asks the node to sign.
type signer struct {
	keys   *keys
	name   credentialName
	public ed25519.PublicKey
}

// Public gives the endpoint's public key.
func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign has the node sign a TLS handshake. A handle that the node no longer
// knows (it was replaced) is asked for again, once.
func (s *signer) Sign(_ io.Reader, msg []byte, _ crypto.SignerOpts) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), signPatience)
	defer cancel()
	s.keys.mu.Lock()
	c, ok := s.keys.known[s.name]
	s.keys.mu.Unlock()
	for try := 0; ; try++ {
		if !ok {
			var err error
			if c, err = s.keys.ask(ctx, s.name); err != nil {
				return nil, err
			}
		}
		if !c.public.Equal(s.public) {
			return nil, crux.Errorf("sign handshake", crux.Unavailable, "the key of %s was replaced meanwhile; connect again", s.name.at.Inst)
		}
		r, err := s.keys.client.SignHandshake(ctx, &node.SignHandshakeRequest{Handle: c.handle, Message: msg}, grpc.WaitForReady(true))
		if err == nil {
			return r.GetSignature(), nil
		}
		if try > 0 || crux.KindOf(err) != crux.NotFound {
			return nil, err
		}
		ok = false
	}
}

// AdmitClient has the node decide on a caller's certificate.
func (k *keys) AdmitClient(ctx context.Context, cert []byte, at crux.Endpoint) (crux.Peer, error) {
	return k.admit(ctx, false, cert, at)
}

// AdmitServer has the node decide on a server's certificate.
func (k *keys) AdmitServer(ctx context.Context, cert []byte, to crux.Endpoint) (crux.Peer, error) {
	return k.admit(ctx, true, cert, to)
}

func (k *keys) admit(ctx context.Context, server bool, cert []byte, ep crux.Endpoint) (crux.Peer, error) {
	ctx, cancel := context.WithTimeout(ctx, signPatience)
	defer cancel()
	r, err := k.client.Admit(ctx, &node.AdmitRequest{Server: server, Certificate: cert, Endpoint: wire.EndpointTo(ep)}, grpc.WaitForReady(true))
	if err != nil {
		return crux.Peer{}, err
	}
	id, err := wire.NodeIDFrom(r.GetNode())
	if err != nil {
		return crux.Peer{}, err
	}
	return crux.Peer{Node: id, Caller: r.GetCaller(), Key: r.GetKey()}, nil
}

// Sign has the node sign with its own key.
func (k *keys) Sign(ctx context.Context, label string, msg []byte) ([]byte, error) {
	r, err := k.client.Sign(ctx, &node.SignRequest{Label: label, Message: msg})
	if err != nil {
		return nil, err
	}
	return r.GetSignature(), nil
}

// Verify has the node check what Sign made elsewhere.
func (k *keys) Verify(ctx context.Context, from crux.NodeID, label string, msg, sig []byte) error {
	_, err := k.client.Verify(ctx, &node.VerifyRequest{Node: wire.NodeIDTo(from), Label: label, Message: msg, Signature: sig})
	return err
}

// Revoked is closed when admitted connections must be checked again.
func (k *keys) Revoked() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.revoked
}

// fire has admitted connections checked again, and forgets what the node said
// before.
func (k *keys) fire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.known)
	close(k.revoked)
	k.revoked = make(chan struct{})
}
