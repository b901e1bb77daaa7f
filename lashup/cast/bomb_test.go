package cast

import (
	"bytes"
	"runtime"
	"testing"

	"fulcrum.example/crux"
)

// bomb is a compressed message of node 4, of a thousandth of its length.
func bomb(seq uint64, only ...crux.NodeID) *Body {
	return body(4, 1, seq, func(b *Body) {
		b.Only = only
		squeeze(b, 1<<20, 1<<20)
	})
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestExpandedPayloadsAreNotKept(t *testing.T) {
	w, send := attack(t)
	c := w.peers[0].c
	before := heap()
	const times = 64
	for seq := range uint64(times) {
		r := send(push(bomb(seq + 1)))
		if len(r.Delivered) != 1 || len(r.Delivered[0].Payload) != 1<<20 {
			t.Fatalf("%d: it was not delivered: %+v", seq, c.Stats())
		}
		w.run(2 * ms)
		for _, p := range w.peers {
			p.all = nil
		}
	}
	if len(c.order) != times {
		t.Fatalf("%d messages are kept", len(c.order))
	}
	if held := heap() - before; held > 8<<20 { // each node's last delivery, and little more
		t.Errorf("%d messages, counted as %d bytes, hold %d", times, c.bytes, held)
	}
	runtime.KeepAlive(w)
}

func TestAPublishedPayloadIsNotKeptIfItWasCompressed(t *testing.T) {
	w, _ := attack(t)
	c := w.peers[0].c
	before := heap()
	for range 64 {
		if _, _, err := c.Publish(w.now, Request{Topic: "news", Payload: make([]byte, 1<<20), Options: Options{Compress: true}}); err != nil {
			t.Fatal(err)
		}
	}
	if held := heap() - before; held > 8<<20 {
		t.Errorf("%d messages, counted as %d bytes, hold %d", len(c.order), c.bytes, held)
	}
	runtime.KeepAlive(w)
}

// What is not for a node is not expanded there: whether it could be is of no
// concern to who passes it on.
func TestWhoPassesOnDoesNotExpand(t *testing.T) {
	w, send := attack(t)
	broken := func(seq uint64) *Body {
		return body(4, 1, seq, func(b *Body) {
			b.Only, b.Raw, b.Payload = nodes(2), 1<<20, []byte("no such stream")
		})
	}
	const times = 2 * 16 // more than are borne of a neighbour
	for seq := range uint64(times) {
		send(push(broken(seq + 1)))
		w.run(5 * ms)
	}
	if s := w.peers[0].c.Stats(); s.Bad > 0 || s.Pushed < times {
		t.Errorf("who passes it on: %+v", s)
	}
	if c := w.peers[2].c; c.Stats().Bad < times || c.muted(node(0)) {
		t.Errorf("who it is for: %+v, the neighbour is blamed: %v", c.Stats(), c.muted(node(0)))
	}
	send(push(bomb(times+1, node(2))))
	w.run(5 * ms)
	if all := w.peers[2].all; len(all) != 1 || !bytes.Equal(all[0].Payload, bytes.Repeat([]byte("x"), 1<<20)) {
		t.Errorf("a good one is not delivered: %d", len(all))
	}
	w.run(20 * ms)
	asked := w.peers[2].c.Stats().Asked
	w.run(1000 * ms)
	if w.peers[2].c.Stats().Asked != asked {
		t.Error("what is known to be broken is asked for again")
	}
}
