package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/sock"
)

// listenTries is how many ports are tried until one is free for both TCP and UDP.
const listenTries = 32

// Sockets are what a lashup process listens on.
type Sockets struct {
	Service   net.Listener   // gRPC
	Datagrams crux.Datagrams // of the fabric; the port has the number of Service's
	Links     net.Listener   // of the fabric
}

// Listen opens the sockets of a process on ports that the kernel chooses.
func Listen(ctx context.Context, c crux.Confab) (*Sockets, error) {
	links, err := c.Listen(ctx, 0)
	if err != nil {
		return nil, crux.Wrap("listen for the fabric", err)
	}
	var last error
	for range listenTries {
		service, err := c.Listen(ctx, 0)
		if err != nil {
			last = err
			break
		}
		d, err := c.ListenPacket(ctx, uint16(service.Addr().(*net.TCPAddr).Port))
		if err == nil {
			return &Sockets{service, d, links}, nil
		}
		last = err
		service.Close()
	}
	links.Close()
	return nil, crux.Wrap("listen for the fabric", last)
}

// Close closes those of the sockets that nobody else has closed yet.
func (s *Sockets) Close() error {
	var errs []error
	for _, c := range []interface{ Close() error }{s.Service, s.Datagrams, s.Links} {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Files gives second descriptors of the sockets, for Adopt in another process:
// datagrams, links, gRPC. The caller closes them.
func (s *Sockets) Files() (files []*os.File, err error) {
	for _, sock := range []any{s.Datagrams, s.Links, s.Service} {
		f, err := fileOf(sock)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// fileOf gives a second descriptor of a socket.
func fileOf(sock any) (*os.File, error) {
	s, ok := sock.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, crux.Errorf("hand over sockets", crux.NotSupported, "a %T cannot be handed over", sock)
	}
	f, err := s.File()
	if err != nil {
		return nil, crux.Errorf("hand over sockets", crux.Unavailable, "%w", err)
	}
	return f, nil
}

// Adopt takes sockets over whose descriptors Files gave, and closes these.
func Adopt(files []*os.File) (_ *Sockets, err error) {
	const op = "take over sockets"
	s := &Sockets{}
	defer func() {
		for _, f := range files {
			f.Close()
		}
		if err != nil {
			s.drop()
		}
	}()
	if len(files) != 3 {
		return nil, crux.Errorf(op, crux.Corrupt, "%d descriptors came, not 3", len(files))
	}
	d, err := sock.Adopt(files[0])
	if err != nil {
		return nil, crux.Wrap(op, err)
	}
	s.Datagrams = d
	if s.Links, err = net.FileListener(files[1]); err != nil {
		return nil, crux.Errorf(op, crux.Corrupt, "%w", err)
	}
	if s.Service, err = net.FileListener(files[2]); err != nil {
		return nil, crux.Errorf(op, crux.Corrupt, "%w", err)
	}
	return s, nil
}

// drop closes what there is of them.
func (s *Sockets) drop() {
	if s.Datagrams != nil {
		s.Datagrams.Close()
	}
	if s.Links != nil {
		s.Links.Close()
	}
}

// addrOf is where a listener listens.
func addrOf(l net.Listener) netip.AddrPort {
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
}
