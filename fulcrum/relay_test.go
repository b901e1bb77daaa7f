package main

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// relay stands before a server and can be cut.
type relay struct {
	l      net.Listener
	target string
	group  sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	down  bool
}

func newRelay(t *testing.T, url string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{l: l, target: strings.TrimPrefix(url, "http://")}
	r.group.Go(r.accept)
	t.Cleanup(func() {
		r.cut()
		r.group.Wait()
	})
	return r
}

func (r *relay) url() string { return "http://" + r.l.Addr().String() }

// cut closes everything and refuses what comes.
func (r *relay) cut() {
	r.l.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = true
	for _, c := range r.conns {
		c.Close()
	}
}

func (r *relay) accept() {
	for {
		in, err := r.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", r.target)
		if err != nil || !r.keep(in, out) {
			in.Close()
			continue
		}
		r.group.Go(func() { pipe(in, out) })
		r.group.Go(func() { pipe(out, in) })
	}
}

// keep notes two connections, to be closed by cut.
func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		for _, c := range conns {
			c.Close()
		}
		return false
	}
	r.conns = append(r.conns, conns...)
	return true
}

func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from) // ends when either side does
	to.Close()
	from.Close()
}
