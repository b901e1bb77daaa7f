package sock

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"fulcrum.example/crux"
)

// maxDatagram is the largest packet that UDP carries.
const maxDatagram = 65535

// Datagrams is a datagram socket: one packet a call, one reader at a time, and any
// number of writers. It implements crux.Datagrams.
type Datagrams struct {
	*net.UDPConn
	raw syscall.RawConn
	six bool // an IPv6 socket
	in  reading
}

// reading is the call that the reader is in, which is one goroutine.
type reading struct {
	buf   []byte
	n     uintptr
	errno syscall.Errno
	from  syscall.RawSockaddrAny
	size  uint32
	once  func(fd uintptr) bool
}

// NewDatagrams makes one of a socket, which it owns from then on.
func NewDatagrams(c *net.UDPConn) (*Datagrams, error) {
	const op = "listen for packets"
	d := &Datagrams{UDPConn: c}
	var err error
	if d.raw, err = c.SyscallConn(); err != nil {
		return nil, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	var domain int
	var errno error
	if err = d.raw.Control(func(fd uintptr) {
		domain, errno = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_DOMAIN)
	}); err == nil {
		err = errno
	}
	if err != nil {
		return nil, crux.Errorf(op, crux.Unavailable, "%w", err)
	}
	d.six = domain == syscall.AF_INET6
	d.in.once = d.in.receive
	return d, nil
}

// Adopt makes Datagrams of a descriptor that another process handed over (File). f
// stays the caller's to close. Errors: Invalid for what is no UDP socket.
func Adopt(f *os.File) (*Datagrams, error) {
	const op = "take over UDP socket"
	pc, err := net.FilePacketConn(f)
	if err != nil {
		return nil, crux.Errorf(op, crux.Invalid, "%w", err)
	}
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		pc.Close()
		return nil, crux.Errorf(op, crux.Invalid, "the descriptor is of another kind of socket")
	}
	return NewDatagrams(conn)
}

// LocalAddr is the socket's address.
func (d *Datagrams) LocalAddr() netip.AddrPort {
	return d.UDPConn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// ReadBatch reads one packet; see crux.Datagrams.
func (d *Datagrams) ReadBatch(into []crux.Datagram) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	if cap(into[0].Data) == 0 {
		into[0].Data = make([]byte, maxDatagram)
	}
	in := &d.in
	in.buf = into[0].Data[:cap(into[0].Data)]
	for {
		err := d.raw.Read(in.once)
		received()
		if err == nil && in.errno != 0 {
			err = in.errno
		}
		switch {
		case err == nil && in.n > uintptr(len(in.buf)):
			continue // it was cut off
		case err == nil:
			into[0] = crux.Datagram{From: addrOf(&in.from), Data: in.buf[:in.n]}
			return 1, nil
		case isClosed(err):
			return 0, net.ErrClosed
		case !isPassing(err):
			return 0, crux.Errorf("read packets", crux.Unavailable, "%w", err)
		}
	}
}

// receive is one recvfrom; false: there is nothing yet.
func (r *reading) receive(fd uintptr) bool {
	r.size = uint32(unsafe.Sizeof(r.from))
	r.n, _, r.errno = syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&r.buf[0])), uintptr(len(r.buf)),
		syscall.MSG_TRUNC|syscall.MSG_DONTWAIT, uintptr(unsafe.Pointer(&r.from)), uintptr(unsafe.Pointer(&r.size)))
	return r.errno != syscall.EAGAIN
}

// WriteTo sends one packet; see crux.Datagrams.
func (d *Datagrams) WriteTo(b []byte, to netip.AddrPort) error {
	if len(b) == 0 || to.Addr().Zone() != "" { // a link-local address: the name of its interface has to be looked up
		_, err := d.UDPConn.WriteToUDPAddrPort(b, to)
		return sent(err)
	}
	var addr syscall.RawSockaddrInet6 // the longer one
	size := putAddr(&addr, to, d.six)
	var errno syscall.Errno
	sending()
	err := d.raw.Write(func(fd uintptr) bool {
		_, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
			syscall.MSG_NOSIGNAL|syscall.MSG_DONTWAIT, uintptr(unsafe.Pointer(&addr)), size)
		return errno != syscall.EAGAIN
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return sent(err)
}

// sent is what a send comes to: a packet that was lost is no error.
func sent(err error) error {
	switch {
	case err == nil || isPassing(err):
		return nil
	case isClosed(err):
		return net.ErrClosed
	}
	return crux.Errorf("send packet", crux.Unavailable, "%w", err)
}

// addrOf reads the kernel's form of an address.
func addrOf(a *syscall.RawSockaddrAny) netip.AddrPort {
	switch a.Addr.Family {
	case syscall.AF_INET:
		x := (*syscall.RawSockaddrInet4)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom4(x.Addr), portOf(&x.Port))
	case syscall.AF_INET6:
		x := (*syscall.RawSockaddrInet6)(unsafe.Pointer(a))
		ip := netip.AddrFrom16(x.Addr).Unmap()
		if x.Scope_id != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(x.Scope_id), 10))
		}
		return netip.AddrPortFrom(ip, portOf(&x.Port))
	}
	return netip.AddrPort{}
}

// putAddr writes it, and gives its length.
func putAddr(a *syscall.RawSockaddrInet6, to netip.AddrPort, six bool) uintptr {
	ip := to.Addr()
	if six {
		a.Family, a.Addr = syscall.AF_INET6, ip.As16()
		setPort(&a.Port, to.Port())
		return unsafe.Sizeof(*a)
	}
	x := (*syscall.RawSockaddrInet4)(unsafe.Pointer(a))
	x.Family = syscall.AF_INET
	if ip = ip.Unmap(); ip.Is4() {
		x.Addr = ip.As4()
	}
	setPort(&x.Port, to.Port())
	return unsafe.Sizeof(*x)
}

// Ports are in the network's order.
func portOf(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }

func setPort(p *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(p))[:], port)
}

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }

// isPassing says whether err is about one packet rather than the socket: a
// packet was lost, as packets are.
func isPassing(err error) bool {
	for _, e := range []error{syscall.ENOBUFS, syscall.EAGAIN, syscall.ECONNREFUSED, syscall.EHOSTUNREACH,
		syscall.ENETUNREACH, syscall.EPERM, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
