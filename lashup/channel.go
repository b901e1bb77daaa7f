package lashup

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

// The kinds of a handover's messages.
const (
	kindHello byte = iota + 1
	kindOffer
	kindReady
	kindStore
	kindOpened
	kindFabric
	kindServing
	kindYours
	kindRefusal // instead of any answer: one sentence
)

const (
	// maxBody bounds a message; the volatile values of a node are the most.
	maxBody = 64 << 20
	// maxFiles bounds the descriptors of one message.
	maxFiles    = 16
	headerBytes = 5
	writeMost   = 5 * time.Second
)

// channel carries a handover's messages: kind 1 | length 4 | body, with
// descriptors beside the header (SCM_RIGHTS).
type channel struct{ *net.UnixConn }

// letter is one message. Who receives files owns them.
type letter struct {
	body  []byte
	files []*os.File
}

func broke(err error) error {
	return crux.Errorf("hand over", crux.Unavailable, "the other process broke off: %w", err)
}

// write sends a message.
func (c *channel) write(kind byte, body []byte, files []*os.File) error {
	if len(body) > maxBody || len(files) > maxFiles {
		return crux.Errorf("hand over", crux.Exhausted, "a state of %d bytes and %d descriptors is too large", len(body), len(files))
	}
	rights, err := rightsOf(files)
	if err != nil {
		return err
	}
	head := [headerBytes]byte{kind}
	binary.BigEndian.PutUint32(head[1:], uint32(len(body)))
	if err := c.SetWriteDeadline(time.Now().Add(writeMost)); err != nil {
		return broke(err)
	}
	if _, _, err := c.WriteMsgUnix(head[:], rights, nil); err != nil {
		return broke(err)
	}
	if len(body) == 0 {
		return nil
	}
	if _, err := c.Write(body); err != nil {
		return broke(err)
	}
	return nil
}

// rightsOf makes the control message that carries descriptors. It does not ask
// for File.Fd, which would make the sockets behind them block.
func rightsOf(files []*os.File) ([]byte, error) {
	if len(files) == 0 {
		return nil, nil
	}
	fds := make([]int, len(files))
	for i, f := range files {
		raw, err := f.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { fds[i] = int(fd) })
		}
		if err != nil {
			return nil, crux.Errorf("hand over", crux.Internal, "%w", err)
		}
	}
	return unix.UnixRights(fds...), nil
}

// send sends a message whose body is JSON.
func (c *channel) send(kind byte, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return crux.Errorf("hand over", crux.Internal, "%w", err)
	}
	return c.write(kind, b, nil)
}

// receive waits for a message whose body is JSON.
func (c *channel) receive(kind byte, patience time.Duration, body any) error {
	m, err := c.expect(kind, patience)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(m.body, body); err != nil {
		return crux.Errorf("hand over", crux.Corrupt, "%w", err)
	}
	return nil
}

// forever is the patience of who waits for as long as it takes.
const forever time.Duration = 0

// expect waits for a message of one kind. A refusal becomes an error of kind
// Denied.
func (c *channel) expect(kind byte, patience time.Duration) (m letter, err error) {
	defer func() {
		if err != nil {
			closeAll(m.files)
			m.files = nil
		}
	}()
	var deadline time.Time
	if patience != forever {
		deadline = time.Now().Add(patience)
	}
	if err := c.SetReadDeadline(deadline); err != nil {
		return m, broke(err)
	}
	var head [headerBytes]byte
	if m.files, err = c.readHead(head[:]); err != nil {
		return m, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxBody {
		return m, crux.Errorf("hand over", crux.Corrupt, "a message of %d bytes is announced", n)
	}
	m.body = make([]byte, n)
	if _, err := io.ReadFull(c, m.body); err != nil {
		return m, broke(err)
	}
	switch head[0] {
	case kind:
		return m, nil
	case kindRefusal:
		return m, crux.Errorf("hand over", crux.Denied, "the other process refuses: %s", valid(string(m.body)))
	}
	return m, crux.Errorf("hand over", crux.Corrupt, "message %d came where %d is due", head[0], kind)
}

// readHead fills head and collects the descriptors that come with it.
func (c *channel) readHead(head []byte) (files []*os.File, err error) {
	rights := make([]byte, unix.CmsgSpace(4*maxFiles))
	for got := 0; got < len(head); {
		n, oobn, flags, _, err := c.ReadMsgUnix(head[got:], rights)
		files = append(files, filesOf(rights[:oobn])...)
		switch {
		case err != nil:
			return files, broke(err)
		case n == 0:
			return files, broke(io.EOF)
		case flags&unix.MSG_CTRUNC != 0:
			return files, crux.Errorf("hand over", crux.Exhausted, "descriptors were lost: too many are open")
		}
		got += n
	}
	return files, nil
}

// filesOf takes descriptors out of a control message; what is not one is
// ignored.
func filesOf(oob []byte) (files []*os.File) {
	if len(oob) == 0 {
		return nil
	}
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range list {
		fds, err := unix.ParseUnixRights(&list[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "handed over"))
		}
	}
	return files
}
