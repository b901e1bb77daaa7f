// Package plain is grpc-go by itself: a galumph server and its clients over
// ordinary mutual TLS 1.3 with Ed25519 certificates of one authority. It is what
// a service would be without crux/rpc, and the peer beside which that is
// measured.
package plain

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

const serverName = "galumph"

// Server is a running server. Any goroutine may Dial.
type Server struct {
	addr   string
	client *tls.Config
	server *grpc.Server
	run    sync.WaitGroup
}

// Serve serves what register registers on a port of 127.0.0.1. The caller
// closes the server.
func Serve(register func(grpc.ServiceRegistrar)) (*Server, error) {
	server, client, err := configs()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{addr: l.Addr().String(), client: client, server: grpc.NewServer(grpc.Creds(credentials.NewTLS(server)))}
	register(s.server)
	s.run.Go(func() { _ = s.server.Serve(l) }) // ends with Close
	return s, nil
}

// Dial gives a connection of its own.
func (s *Server) Dial() (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+s.addr, grpc.WithTransportCredentials(credentials.NewTLS(s.client)))
}

// Close ends the server.
func (s *Server) Close() {
	s.server.Stop()
	s.run.Wait()
}

// configs makes an authority, and what both sides need of it. Sessions are not
// resumed, so that each connection is a whole handshake, as crux/rpc's are.
func configs() (server, client *tls.Config, err error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := certificate(1)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	ours, err := issue(certificate(2), root, key)
	if err != nil {
		return nil, nil, err
	}
	theirs, err := issue(certificate(3), root, key)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ours},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, SessionTicketsDisabled: true},
		&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{theirs},
			RootCAs: pool, ServerName: serverName, SessionTicketsDisabled: true}, nil
}

func certificate(serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func issue(template, root *x509.Certificate, authority ed25519.PrivateKey) (tls.Certificate, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, root, pub, authority)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
