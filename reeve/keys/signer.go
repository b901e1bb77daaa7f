package keys

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"io"
	"strings"

	"fulcrum.example/crux"
)

// What a TLS 1.3 CertificateVerify signs (RFC 8446, section 4.4.3): 64 spaces,
// a context string, a zero byte, and the hash of the transcript.
const (
	handshakePad  = 64
	serverContext = "TLS 1.3, server CertificateVerify\x00"
	clientContext = "TLS 1.3, client CertificateVerify\x00"
)

var padding = []byte(strings.Repeat(" ", handshakePad))

// CheckHandshakeMessage returns nil if msg is what one side of a TLS 1.3
// handshake signs, and an error of kind Denied otherwise. The signers of this
// package check it by themselves.
func CheckHandshakeMessage(msg []byte) error {
	if isHandshake(msg, serverContext) || isHandshake(msg, clientContext) {
		return nil
	}
	return crux.Errorf("sign handshake", crux.Denied, "refused to sign %d bytes that are not a TLS 1.3 handshake's", len(msg))
}

func isHandshake(msg []byte, context string) bool {
	rest, ok := bytes.CutPrefix(msg, padding)
	if !ok {
		return false
	}
	hash, ok := bytes.CutPrefix(rest, []byte(context))
	return ok && (len(hash) == 32 || len(hash) == 48)
}

// signer proves the possession of one endpoint key, and does nothing else with
// it: it refuses whatever is not a handshake of its own side, and everything
// once its generation is revoked.
type signer struct {
	ring   *Ring
	key    ed25519.PrivateKey
	bind   *binding
	owner  service // whose credential it came with
	handle uint64
}

// Handle names the signer for SignHandshake.
func (s *signer) Handle() uint64 { return s.handle }

// Public gives the endpoint's public key, an ed25519.PublicKey.
func (s *signer) Public() crypto.PublicKey { return s.key.Public() }

// Sign signs a TLS 1.3 handshake of this endpoint's side.
func (s *signer) Sign(_ io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts != nil && opts.HashFunc() != 0 {
		return nil, crux.Errorf("sign handshake", crux.Denied, "endpoint keys sign messages, not hashes")
	}
	context := clientContext
	if s.bind.role == roleServer {
		context = serverContext
	}
	if !isHandshake(msg, context) {
		return nil, crux.Errorf("sign handshake", crux.Denied,
			"refused to sign %d bytes that are not a TLS 1.3 %s handshake's", len(msg), s.bind.role)
	}
	if floor := s.ring.floor(s.bind); s.bind.generation < floor {
		return nil, crux.Errorf("sign handshake", crux.Denied,
			"the key of %s for %s was revoked (generation %d of %d); ask for the new one",
			s.bind.caller, s.bind.to.Inst, s.bind.generation, floor)
	}
	return ed25519.Sign(s.key, msg), nil
}
