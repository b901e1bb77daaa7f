package rpc

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/sock"
)

const (
	alpnGRPC   = "h2"
	alpnPinned = "fulcrum-pinned"

	handshakeTimeout = 10 * time.Second
	maxVerdict       = 512 // bytes of text
)

// secured is a connection whose both ends are known.
type secured struct {
	*tls.Conn
	peer crux.Peer
	cert []byte // the peer's, to be admitted again after revocations
}

// baseConfig is what both sides have in common. Each handshake has a config of
// its own, so that none is changed while it is in use.
func baseConfig(alpn string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		MaxVersion:             tls.VersionTLS13,
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768},
		NextProtos:             []string{alpn},
		SessionTicketsDisabled: true,
	}
}

func certificateOf(c crux.Credential) tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{c.Certificate}, PrivateKey: c.Signer}
}

// peerCertificate is the one certificate that the peer must have presented.
func peerCertificate(cs tls.ConnectionState, alpn string) ([]byte, error) {
	if cs.NegotiatedProtocol != alpn {
		return nil, crux.Errorf("handshake", crux.Invalid, "the peer speaks %q, not %q", cs.NegotiatedProtocol, alpn)
	}
	if len(cs.PeerCertificates) != 1 {
		return nil, crux.Errorf("handshake", crux.Unknown, "the peer presented %d certificates, not one", len(cs.PeerCertificates))
	}
	return cs.PeerCertificates[0].Raw, nil
}

// acceptTLS does the server's side on a fresh connection: handshake, admission,
// verdict. On an error the caller closes conn.
func acceptTLS(ctx context.Context, conn net.Conn, keys crux.Keys, at crux.Endpoint, alpn string) (*secured, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	cred, err := keys.Server(ctx, at)
	if err != nil {
		return nil, crux.Wrap("handshake", err)
	}
	cfg := baseConfig(alpn)
	cfg.Certificates = []tls.Certificate{certificateOf(cred)}
	cfg.ClientAuth = tls.RequireAnyClientCert
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		_, err := peerCertificate(cs, alpn)
		return err
	}
	tc := tls.Server(sock.Stream(conn), cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, crux.Errorf("handshake", crux.Unknown, "with %s: %w", conn.RemoteAddr(), err)
	}
	cert, err := peerCertificate(tc.ConnectionState(), alpn)
	if err != nil {
		return nil, err
	}
	peer, refused := keys.AdmitClient(ctx, cert, at)
	deadline, _ := ctx.Deadline()
	if err := writeVerdict(tc, deadline, refused); err != nil && refused == nil {
		return nil, crux.Errorf("handshake", crux.Unavailable, "with %s: %w", conn.RemoteAddr(), err)
	}
	if refused != nil {
		return nil, refused
	}
	return &secured{Conn: tc, peer: peer, cert: cert}, nil
}

// dialTLS does the client's side on a fresh connection. On an error the caller
// closes conn; a refusal by the server is a *refusal.
func dialTLS(ctx context.Context, conn net.Conn, keys crux.Keys, to crux.Endpoint, alpn string) (*secured, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	op := fmt.Sprintf("connect to %s at %s", to.Inst, to.NetID)
	cred, err := keys.Client(ctx, to)
	if err != nil {
		return nil, crux.Wrap(op, err)
	}
	var peer crux.Peer
	var cert []byte
	cfg := baseConfig(alpn)
	// The name in a certificate means nothing here; VerifyConnection decides.
	cfg.InsecureSkipVerify = true
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c := certificateOf(cred)
		return &c, nil
	}
	cfg.VerifyConnection = func(cs tls.ConnectionState) (err error) {
		if cert, err = peerCertificate(cs, alpn); err != nil {
			return err
		}
		peer, err = keys.AdmitServer(ctx, cert, to)
		return err
	}
	tc := tls.Client(sock.Stream(conn), cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, failedDial(op, err)
	}
	deadline, _ := ctx.Deadline()
	if err := readVerdict(tc, deadline); err != nil {
		var r *refusal
		if errors.As(err, &r) {
			return nil, crux.Wrap(op, err)
		}
		return nil, failedDial(op, err)
	}
	return &secured{Conn: tc, peer: peer, cert: cert}, nil
}

// failedDial keeps the kind of an error of ours; whatever else breaks a
// connection may be better at the next try.
func failedDial(op string, err error) error {
	var ours *crux.Error
	if errors.As(err, &ours) {
		return crux.Wrap(op, err)
	}
	return crux.Errorf(op, crux.Unavailable, "%w", err)
}

// refusal is a server's word that it does not admit this caller.
type refusal struct {
	kind crux.Kind
	text string
}

func (r *refusal) Error() string { return "the server refused: " + r.text }

// final says that trying again will not help before something is changed.
func (r *refusal) final() bool { return r.kind == crux.Denied || r.kind == crux.Unknown }

func writeVerdict(c net.Conn, deadline time.Time, refused error) error {
	msg := []byte{0, 0, 0}
	if refused != nil {
		text := strings.ToValidUTF8(refused.Error(), "")
		text = text[:min(len(text), maxVerdict)]
		msg[0] = 1 + byte(crux.KindOf(refused))
		binary.BigEndian.PutUint16(msg[1:], uint16(len(text)))
		msg = append(msg, text...)
	}
	if err := c.SetWriteDeadline(deadline); err != nil {
		return err
	}
	if _, err := c.Write(msg); err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Time{})
}

func readVerdict(c net.Conn, deadline time.Time) error {
	if err := c.SetReadDeadline(deadline); err != nil {
		return err
	}
	var head [3]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return fmt.Errorf("the server did not say whether it admits: %w", err)
	}
	n := binary.BigEndian.Uint16(head[1:])
	if head[0] == 0 && n == 0 {
		return c.SetReadDeadline(time.Time{})
	}
	if head[0] == 0 || n > maxVerdict {
		return errors.New("the server's first bytes are not an admission")
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(c, text); err != nil {
		return fmt.Errorf("the server's refusal broke off: %w", err)
	}
	r := &refusal{kind: crux.Kind(head[0] - 1), text: strings.ToValidUTF8(string(text), "")}
	return &crux.Error{Kind: r.kind, Err: r}
}
