package udp

import (
	"net"
	"os"

	"fulcrum.example/crux"
)

// File gives a second descriptor of the socket, to hand to another process. The
// caller closes it.
func (s *Socket) File() (*os.File, error) {
	f, err := s.conn.File()
	if err != nil {
		return nil, crux.Errorf("hand over UDP socket", crux.Unavailable, "%w", err)
	}
	return f, nil
}

// Adopt makes a Socket of a descriptor that another process handed over. f stays
// the caller's to close. Errors: Invalid for what is no UDP socket.
func Adopt(f *os.File) (*Socket, error) {
	pc, err := net.FilePacketConn(f)
	if err != nil {
		return nil, crux.Errorf("take over UDP socket", crux.Invalid, "%w", err)
	}
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		pc.Close()
		return nil, crux.Errorf("take over UDP socket", crux.Invalid, "the descriptor is of another kind of socket")
	}
	return newSocket(conn), nil
}
