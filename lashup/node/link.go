package node

import (
	"bufio"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/packet"
)

const (
	// writeMost is how long a write may take: the peer's kernel is silent, or its
	// process does not read.
	writeMost = 10 * time.Second
	// closeMost is how long a link lives on that is closed, or that another link
	// has replaced: for what is queued, and for what is under way.
	closeMost = 2 * time.Second
	// readBuffer is for small frames; large ones pass it by.
	readBuffer = 8 << 10
)

// link is a stream to a peer whose card is known. Its goroutines run from start
// until the stream is closed.
type link struct {
	n       *Node
	peer    crux.NodeID
	dialled bool          // by this node
	since   time.Duration // when it came up; the core's
	conn    *rpc.PinnedConn
	queue   *packet.Queue

	end   sync.Once
	by    atomic.Int64  // the last moment to write, in Unix nanoseconds; 0: none
	quiet chan struct{} // closed by the reader when it has seen the stream's end
}

func newLink(n *Node, conn *rpc.PinnedConn, dialled bool) *link {
	return &link{
		n: n, peer: conn.Peer().Node, dialled: dialled, conn: conn,
		queue: packet.NewQueue(), quiet: make(chan struct{}),
	}
}

// start begins to read and write. The core calls it, and the node outlives that:
// the goroutines are never refused.
func (l *link) start() {
	for _, f := range [...]func(){l.write, l.read} {
		l.n.speaking.Add(1)
		l.n.spawn(func() {
			defer l.n.speaking.Done()
			f()
		})
	}
}

// close ends the link when what is queued is written, or soon. Nothing more comes
// of it. The core calls it.
func (l *link) close() {
	l.end.Do(l.retire)
}

// retire leaves the link to another one to the same peer: it is read for a while
// yet, for what is under way.
func (l *link) retire() {
	l.by.Store(time.Now().Add(closeMost).UnixNano())
	// A write that is under way is bounded, too; a closed stream is as good.
	_ = l.conn.SetWriteDeadline(time.Now().Add(closeMost))
	l.queue.Close()
}

// Write bounds how long the stream's Write may take.
func (l *link) Write(b []byte) (int, error) {
	deadline := time.Now().Add(writeMost)
	if by := l.by.Load(); by != 0 && by < deadline.UnixNano() {
		deadline = time.Unix(0, by)
	}
	if err := l.conn.SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := l.conn.Write(b)
	l.n.stats.bytesOut.Add(uint64(n))
	return n, err
}

// write is the goroutine that writes, and in the end closes the stream: first
// only its own direction, since a stream that is closed with something unread
// takes from the peer what it has not read yet.
func (l *link) write() {
	defer l.conn.Abort()
	if err := l.queue.Run(l); err != nil {
		l.n.log.Debug("a link cannot be written", "peer", l.peer, "why", err)
		return
	}
	half, ok := l.conn.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	t := time.NewTimer(closeMost)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.quiet:
	}
}

// read is the goroutine that reads.
func (l *link) read() {
	defer close(l.quiet)
	r := bufio.NewReaderSize(l.conn, readBuffer)
	for {
		msg, err := l.next(r)
		if !l.deliver(msg, err) {
			l.drain(r)
			return
		}
		if err != nil {
			return
		}
	}
}

// deliver gives the machine what came, or why nothing comes any more. While the
// node is frozen it waits. false: the link was closed, nothing of it is of use.
func (l *link) deliver(msg fabric.Message, why error) (open bool) {
	for {
		var thawed <-chan struct{}
		if !l.n.core.enter(func(c *core) {
			if thawed = c.thawed; thawed == nil {
				open = c.frame(l, msg, why)
			}
		}) {
			return false
		}
		if thawed == nil {
			return open
		}
		select {
		case <-thawed:
		case <-l.n.left:
			return false
		}
	}
}

// drain reads to the end of the stream, which the writer sees to.
func (l *link) drain(r io.Reader) {
	_, _ = io.Copy(io.Discard, r)
}

func (l *link) next(r *bufio.Reader) (fabric.Message, error) {
	b, err := packet.ReadFrame(r, packet.MaxFrame)
	if err != nil {
		return nil, err
	}
	l.n.stats.bytesIn.Add(uint64(len(b)))
	msg, err := fabric.Decode(b)
	if err != nil {
		return nil, err
	}
	if l.n.ahead.may(l.n.now(), l.peer, msg) {
		l.n.prepare(msg)
	}
	return msg, nil
}
