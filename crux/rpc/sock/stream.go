package sock

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// writeMost bounds one call's bytes: while it copies them no other goroutine of its
// thread runs.
const writeMost = 64 << 10

// stream is a connection with a socket. Like any net.Conn it takes a reader and
// writers at a time.
type stream struct {
	net.Conn
	raw syscall.RawConn
}

// Stream gives a connection of TCP or of a unix socket that costs less than conn,
// which it owns from then on. What has no socket of its own, as a connection in
// memory, it gives back.
func Stream(conn net.Conn) net.Conn {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return conn
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return conn // it is closed, and says so at the next call
	}
	return &stream{conn, raw}
}

// Read implements net.Conn.
func (s *stream) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c := begin(b)
	defer c.end()
	err := s.raw.Read(c.read)
	received()
	switch {
	case err != nil:
		return 0, err
	case c.errno != 0:
		return 0, s.failed("read", "recvfrom", c.errno)
	case c.n == 0:
		return 0, io.EOF
	}
	return c.n, nil
}

// Write implements net.Conn.
func (s *stream) Write(b []byte) (int, error) {
	c := begin(b)
	defer c.end()
	sending()
	err := s.raw.Write(c.write)
	if err == nil && c.n < len(b) {
		err = s.failed("write", "sendto", c.errno)
	}
	return c.n, err
}

// call is a Read or a Write under way. Calls are used again, as each would cost some
// allocations.
type call struct {
	b     []byte
	n     int
	errno syscall.Errno
	// receive and send, for the runtime's poller.
	read, write func(fd uintptr) bool
}

var calls = sync.Pool{New: func() any {
	c := new(call)
	c.read, c.write = c.receive, c.send
	return c
}}

func begin(b []byte) *call {
	c := calls.Get().(*call)
	c.b, c.n, c.errno = b, 0, 0
	return c
}

func (c *call) end() {
	c.b = nil
	calls.Put(c)
}

// receive reads what there is; false: there is nothing yet.
func (c *call) receive(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&c.b[0])), uintptr(len(c.b)), syscall.MSG_DONTWAIT, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if c.errno = errno; errno == 0 {
			c.n = int(n)
		}
		return errno != syscall.EAGAIN
	}
}

// send writes what is left; false: the kernel takes no more yet.
func (c *call) send(fd uintptr) bool {
	for c.n < len(c.b) {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&c.b[c.n])), uintptr(min(len(c.b)-c.n, writeMost)),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		switch c.errno = errno; errno {
		case 0:
			c.n += int(n)
		case syscall.EINTR:
		default:
			return errno != syscall.EAGAIN
		}
	}
	return true
}

// failed is how package net says that a call failed.
func (s *stream) failed(op, call string, errno syscall.Errno) error {
	return &net.OpError{
		Op: op, Net: s.LocalAddr().Network(), Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: os.NewSyscallError(call, errno),
	}
}
