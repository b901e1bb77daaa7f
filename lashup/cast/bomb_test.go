package cast

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/limit"
)

// mebi is 1 MiB, compressed to a thousandth.
var mebi = func() (b Body) {
	squeeze(&b, 1<<20, 1<<20)
	return b
}()

// bomb is a compressed message of node 4.
func bomb(seq uint64, only ...crux.NodeID) *Body {
	return body(4, 1, seq, func(b *Body) { b.Only, b.Raw, b.Payload = only, mebi.Raw, mebi.Payload })
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
	for range 16 {
		if _, _, err := c.Publish(w.now, Request{Topic: "news", Payload: make([]byte, 1<<20), Options: Options{Compress: true}}); err != nil {
			t.Fatal(err)
		}
	}
	if held := heap() - before; held > 4<<20 {
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

// slower divides the rates of what is compressed, so that a test takes less time.
func slower(t *testing.T, by float64) {
	c, e := compressRate, expandRate
	t.Cleanup(func() { compressRate, expandRate = c, e })
	for _, r := range []*limit.Rate{&compressRate, &expandRate} {
		r.PerSecond, r.Burst = r.PerSecond/by, r.Burst/by
	}
}

func TestWhatOneOriginHasExpandedIsBounded(t *testing.T) {
	slower(t, 16)
	w, send := attack(t)
	took := 0
	take := func(seq uint64) bool {
		got := len(send(push(bomb(seq))).Delivered) == 1
		if got {
			took += 1 << 20
		}
		return got
	}
	most := int(expandRate.Burst)
	for seq := range uint64(most>>20) + 10 {
		take(seq + 1)
	}
	if took > most {
		t.Errorf("%d bytes were expanded at once", took)
	}
	if c := w.peers[0].c; c.Stats().Bad == 0 || c.muted(node(1)) {
		t.Errorf("%+v, the neighbour is blamed: %v", c.Stats(), c.muted(node(1)))
	}
	squeezed := body(3, 1, 1, func(b *Body) { squeeze(b, 5000, 5000) })
	for name, b := range map[string]*Body{"another's": squeezed, "one that is not compressed": body(4, 1, 1000, nil)} {
		if r := send(push(b)); len(r.Delivered) != 1 {
			t.Errorf("%s is not taken", name)
		}
	}
	w.run(time.Second)
	if !take(2000) {
		t.Error("a second later none is taken")
	}
}

// Whatever an honest node has compressed while messages are kept may come at once.
func TestNobodyCompressesMoreThanIsExpanded(t *testing.T) {
	slower(t, 16)
	w, _ := attack(t)
	c, compressed := w.peers[0].c, 0
	payload := make([]byte, 20<<10)
	for range w.params.Keep / (10 * ms) { // 2 MiB a second
		w.now += 10 * ms
		_, r, err := c.Publish(w.now, Request{Topic: "news", Payload: payload, Options: Options{Compress: true}})
		if err != nil {
			continue // what is not compressed is bounded anyway
		}
		if m := r.Sends[0].Msg.(*Push); m.Body.Raw > 0 {
			compressed += int(m.Body.Raw)
		}
	}
	if most := int(expandRate.Burst); compressed > most || compressed < most/2 {
		t.Errorf("%d bytes were compressed, and %d are expanded", compressed, most)
	}
}
