package keys

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"fulcrum.example/crux"
)

// bindingOID marks the extension that carries the binding. It lies in the arc
// of self-assigned numbers (2.25); nobody but this package reads it.
var bindingOID = asn1.ObjectIdentifier{2, 25, 1962893367}

// maxCertificate bounds what is parsed at all; ours have some 600 bytes.
const maxCertificate = 4096

// The dates in a certificate bind nobody: generations revoke, and a node whose
// clock is wrong must be able to talk. Fixed dates keep certificates
// reproducible.
var (
	notBefore = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// deriveSeed gives the seed of all endpoint keys of a node.
func deriveSeed(nodeKey ed25519.PrivateKey) ([]byte, error) {
	return hkdf.Key(sha256.New, nodeKey.Seed(), nil, "fulcrum endpoint seed v1", ed25519.SeedSize)
}

// deriveKey gives the endpoint key that the binding's subject names.
func deriveKey(seed []byte, b *binding) (ed25519.PrivateKey, error) {
	k, err := hkdf.Key(sha256.New, seed, nil, string(b.subject()), ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(k), nil
}

// makeCertificate makes the certificate of key, with the signed binding in it.
func makeCertificate(key ed25519.PrivateKey, b *binding, nodeKey ed25519.PrivateKey) ([]byte, error) {
	ext := b.sign(nodeKey)
	sum := sha256.Sum256(ext)
	sum[0] &= 0x7f // a serial number is positive and has at most 20 bytes
	t := &x509.Certificate{
		SerialNumber:    new(big.Int).SetBytes(sum[:16]),
		Subject:         pkix.Name{CommonName: "fulcrum endpoint"},
		NotBefore:       notBefore,
		NotAfter:        notAfter,
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: bindingOID, Value: ext}},
	}
	// Ed25519 signatures are deterministic; the reader is never read.
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make endpoint certificate: %w", err)
	}
	return der, nil
}

// parseCertificate reads the binding out of a certificate and checks all that
// does not depend on when and where it is asked: the node's signature, and that
// the certificate is for the bound key. The certificate's own signature proves
// nothing beyond that; TLS proves the possession of the key.
func parseCertificate(der []byte) (*binding, error) {
	if len(der) > maxCertificate {
		return nil, errBinding("it is too long")
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errBinding("it does not parse")
	}
	pub, ok := c.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, errBinding("its key is not Ed25519")
	}
	var ext []byte
	for _, e := range c.Extensions {
		if !e.Id.Equal(bindingOID) {
			continue
		}
		if ext != nil {
			return nil, errBinding("it has two bindings")
		}
		ext = e.Value
	}
	if ext == nil {
		return nil, errBinding("it has no binding")
	}
	b, err := parseSigned(ext)
	if err != nil {
		return nil, err
	}
	if !pub.Equal(b.key) {
		return nil, errBinding("its binding is for another key")
	}
	return b, nil
}

// certificateSum names a certificate in the cache of checked bindings.
func certificateSum(der []byte) crux.Checksum { return sha256.Sum256(der) }
