package rpc_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	pb "fulcrum.example/protos/galumph"
)

// plain is a gRPC server and dialler over ordinary mutual TLS 1.3 with Ed25519
// certificates of one authority: what a service would be without this package.
func plain(b *testing.B) func() *grpc.ClientConn {
	b.Helper()
	_, ca, _ := ed25519.GenerateKey(rand.Reader)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	pool := x509.NewCertPool()
	issue := func(serial int64, tmpl *x509.Certificate) tls.Certificate {
		pub, key, _ := ed25519.GenerateKey(rand.Reader)
		tmpl.SerialNumber, tmpl.NotBefore, tmpl.NotAfter = big.NewInt(serial), root.NotBefore, root.NotAfter
		der, err := x509.CreateCertificate(rand.Reader, tmpl, root, pub, ca)
		if err != nil {
			b.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, ca.Public(), ca)
	if err != nil {
		b.Fatal(err)
	}
	rootCert, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	pool.AddCert(rootCert)
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	server := issue(2, &x509.Certificate{DNSNames: []string{"galumph"}, ExtKeyUsage: usage})
	client := issue(3, &x509.Certificate{ExtKeyUsage: usage})
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{server},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, SessionTicketsDisabled: true})))
	pb.RegisterGalumphServer(s, &galumph{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve(l)
	b.Cleanup(s.Stop)
	return func() *grpc.ClientConn {
		cc, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{client}, RootCAs: pool, ServerName: "galumph", SessionTicketsDisabled: true})))
		if err != nil {
			b.Fatal(err)
		}
		return cc
	}
}

func selected(b *testing.B) func() *grpc.ClientConn {
	b.Helper()
	w := newWorld(b, 2)
	s, err := rpc.Serve(w.node(1, "galumph2_3"), rpc.Options{Inst: "galumph2_3"}, func(r grpc.ServiceRegistrar) { pb.RegisterGalumphServer(r, &galumph{}) })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	w.rows.Put(s.Endpoint(), crux.Serving)
	n := w.node(0, "client")
	return func() *grpc.ClientConn {
		cc, err := rpc.Connect(n, crux.Selector{API: "galumph2"}, 0)
		if err != nil {
			b.Fatal(err)
		}
		return cc
	}
}

// firstCall connects, makes one call, and closes.
func firstCall(b *testing.B, dial func() *grpc.ClientConn) time.Duration {
	start := time.Now()
	cc := dial()
	if _, err := pb.NewGalumphClient(cc).Table(context.Background(), &pb.TableReq{}, grpc.WaitForReady(true)); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	cc.Close()
	return took
}

// BenchmarkConnect reports the time to a first answer, by selector and by plain
// mutual TLS, in turns, and the ratio of the two.
func BenchmarkConnect(b *testing.B) {
	p, s := plain(b), selected(b)
	firstCall(b, p)
	firstCall(b, s)
	var tp, ts time.Duration
	for b.Loop() {
		tp += firstCall(b, p)
		ts += firstCall(b, s)
	}
	b.ReportMetric(float64(tp.Microseconds())/float64(b.N), "plain-µs")
	b.ReportMetric(float64(ts.Microseconds())/float64(b.N), "selector-µs")
	b.ReportMetric(float64(ts)/float64(tp), "ratio")
}

// BenchmarkCall does the same for a unary call on a warm connection.
func BenchmarkCall(b *testing.B) {
	p, s := plain(b)(), selected(b)()
	defer p.Close()
	defer s.Close()
	pc, sc := pb.NewGalumphClient(p), pb.NewGalumphClient(s)
	call := func(c pb.GalumphClient) time.Duration {
		start := time.Now()
		if _, err := c.Register(context.Background(), &pb.GalumphInstance{Name: "x"}, grpc.WaitForReady(true)); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	for range 100 {
		call(pc)
		call(sc)
	}
	var tp, ts time.Duration
	for b.Loop() {
		tp += call(pc)
		ts += call(sc)
	}
	b.ReportMetric(float64(tp.Microseconds())/float64(b.N), "plain-µs")
	b.ReportMetric(float64(ts.Microseconds())/float64(b.N), "selector-µs")
	b.ReportMetric(float64(ts)/float64(tp), "ratio")
}
