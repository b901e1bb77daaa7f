package node

import (
	"errors"
	"net"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/packet"
)

const (
	readBatch = 16
	readRetry = time.Second
)

// reader is the goroutine that reads the socket of datagrams.
type reader struct {
	n        *Node
	verify   seal.Bucket // of strangers' cards
	wondered map[crux.NodeID]time.Duration
	buf      []byte
}

// run reads until the socket is closed.
func (r *reader) run() {
	r.buf = make([]byte, packet.MaxPacket)
	in := make([]crux.Datagram, readBatch)
	for i := range in {
		in[i].Data = make([]byte, 0, packet.MaxPacket)
	}
	for {
		got, err := r.n.cfg.Sockets.Datagrams.ReadBatch(in)
		now := r.n.now()
		for i := range in[:got] {
			r.n.stats.bytesIn.Add(uint64(len(in[i].Data)))
			r.n.counters.Add(r.take(now, &in[i]))
		}
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		default:
			r.n.log.Error("the fabric's socket cannot be read; trying again", "addr", r.n.cfg.Sockets.Datagrams.LocalAddr(), "err", err)
			select {
			case <-r.n.cfg.Clock.After(readRetry):
			case <-r.n.left:
				return
			}
		}
	}
}

// take opens one datagram and gives it to the machine.
func (r *reader) take(now time.Duration, d *crux.Datagram) seal.Verdict {
	h, v := packet.ParseHeader(d.Data, r.n.id)
	if v != seal.Accepted {
		return v
	}
	if h.Kind != packet.Word {
		m, v := r.n.pairs.OpenHello(now, d.From, &h, d.Data)
		if v != seal.Accepted {
			return v
		}
		return r.hello(now, d.From, h.Kind, m)
	}
	body, v := r.n.pairs.Open(now, &h, d.Data)
	if v == seal.NoPeer {
		r.wonder(now, h.Sender)
	}
	if v != seal.Accepted {
		return v
	}
	msg, err := fabric.Decode(body)
	if err != nil {
		return seal.BadBody
	}
	awake := true
	entered := r.n.core.enter(func(c *core) {
		if awake = c.thawed == nil; awake {
			c.apply(c.m.Datagram(r.n.now(), h.Sender, msg))
		}
	})
	if !entered || !awake {
		r.answer(h.Sender, msg)
	}
	return seal.Accepted
}

// answer is what is done with what comes when the machine stands still: pings are
// answered.
func (r *reader) answer(to crux.NodeID, msg fabric.Message) {
	ping, ok := msg.(*detect.Ping)
	if !ok {
		return
	}
	ack := detect.Ack{Seq: ping.Seq}
	p, addr, err := r.n.pairs.Seal(ack.Append(r.buf[:packet.Headroom]), to)
	if err == nil {
		r.n.send(p, addr)
	}
}
