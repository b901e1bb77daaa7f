package cast

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
)

// attack gives node 1 to the test, as a neighbour of node 0 in a line of five:
// 1 - 0 - 2 - 3 - 4. What it sends goes through the codec.
func attack(t *testing.T) (*world, func(Message) Ready) {
	w := newWorld(t, 5, 1, [][2]int{{1, 0}, {0, 2}, {2, 3}, {3, 4}})
	return w, func(m Message) Ready {
		m, err := Decode(m.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		r := w.peers[0].c.Receive(w.now, node(1), m)
		r = Ready{slices.Clone(r.Sends), slices.Clone(r.Delivered)}
		for _, s := range r.Sends { // whoever sends what cannot be read loses the link
			if _, err := Decode(s.Msg.Append(nil)); err != nil {
				t.Fatalf("it answers %T with what cannot be read: %v", m, err)
			}
		}
		w.peers[0].done(r)
		return r
	}
}

// body makes a message of node i, signed by it.
func body(i int, epoch, seq uint64, change func(*Body)) *Body {
	b := &Body{ID: ID{node(i), epoch, seq}, Topic: "news", Payload: []byte("hello")}
	if change != nil {
		change(b)
	}
	b.Sig = signature(card(i, epoch), b.SignedBytes())
	return b
}

func push(b *Body) *Push {
	m := &Push{Body: b, Hops: 1}
	if b.Record {
		m.Route = []crux.NodeID{b.ID.Origin}
	}
	return m
}

func TestNobodySpeaksForAnother(t *testing.T) {
	for name, change := range map[string]func(*Body){
		"payload": func(b *Body) { b.Payload = []byte("HELLO") }, "topic": func(b *Body) { b.Topic = "olds" },
		"number": func(b *Body) { b.ID.Seq++ }, "origin": func(b *Body) { b.ID.Origin = node(3) }, "life": func(b *Body) { b.TTL = 9 },
		"roots": func(b *Body) { b.Roots = nodes(4, 3, 2) }, "receivers": func(b *Body) { b.Only = nodes(0) },
		"route": func(b *Body) { b.Record = true }, "compression": func(b *Body) { b.Raw = 7 }, "signature": func(b *Body) { b.Sig[0]++ },
	} {
		w, send := attack(t)
		b := body(4, 1, 1, nil)
		b.signed = nil // as it is on another node
		change(b)
		if r := send(push(b)); len(r.Delivered)+len(r.Sends) > 0 || w.peers[0].c.Stats().Bad != 1 {
			t.Errorf("with another %s it was taken", name)
		}
	}
}

func TestAnUnchangedMessageIsTaken(t *testing.T) {
	w, send := attack(t)
	b := body(4, 1, 1, nil)
	if r := send(push(b)); len(r.Delivered) != 1 {
		t.Fatalf("%+v, %+v", r, w.peers[0].c.Stats())
	}
	if r := send(push(b)); len(r.Delivered)+len(r.Sends) > 0 {
		t.Error("it was taken twice")
	}
	w.run(20 * time.Second)
	if r := send(push(b)); len(r.Delivered)+len(r.Sends) > 0 {
		t.Error("it was taken again when it was no longer kept")
	}
	if r := send(push(body(4, 1, 2, func(b *Body) { b.TTL = 3 }))); len(r.Delivered) != 1 {
		t.Error("the next one was not taken")
	}
}

func TestFalseHopsAndRoutesAreRefused(t *testing.T) {
	record := func(b *Body) { b.Record = true }
	for name, m := range map[string]*Push{
		"too many hops":    {Body: body(4, 1, 1, func(b *Body) { b.TTL = 2 }), Hops: 3},
		"no route":         {Body: body(4, 1, 1, record), Hops: 2},
		"another's route":  {Body: body(4, 1, 1, record), Hops: 2, Route: nodes(3, 1)},
		"not over here":    {Body: body(4, 1, 1, record), Hops: 2, Route: nodes(4, 2)},
		"a route unasked":  {Body: body(4, 1, 1, nil), Hops: 2, Route: nodes(4, 1)},
		"not its payload":  {Body: body(4, 1, 1, func(b *Body) { b.Raw, b.Payload = 100, []byte("no such stream") }), Hops: 1},
		"a longer payload": {Body: body(4, 1, 1, func(b *Body) { squeeze(b, 5000, 4999) }), Hops: 1},
		"a shorter one":    {Body: body(4, 1, 1, func(b *Body) { squeeze(b, 5000, 5001) }), Hops: 1},
	} {
		w, send := attack(t)
		if r := send(m); len(r.Delivered)+len(r.Sends) > 0 || w.peers[0].c.Stats().Bad != 1 {
			t.Errorf("%s: it was taken", name)
		}
	}
}

func TestLiesAboutHopsCutNoLinks(t *testing.T) {
	for _, ttl := range []uint32{0, 7, maxHops, MaxTTL} {
		for _, hops := range []uint32{1, 7, maxHops - 1, maxHops, maxHops + 1, MaxTTL} {
			w, send := attack(t)
			w.codec = true // whoever cannot read a frame fails the test
			b := body(4, 1, 1, func(b *Body) { b.TTL = ttl })
			r := send(&Push{Body: b, Hops: hops})
			if taken := len(r.Delivered) == 1; taken != (hops <= maxHops && (ttl == 0 || hops <= ttl)) {
				t.Errorf("a life of %d, %d hops: taken: %v", ttl, hops, taken)
			}
			send(&Graft{[]ID{b.ID}})
			w.run(time.Second)
			if s := w.peers[2].c.Stats(); s.Bad > 0 {
				t.Errorf("a life of %d, %d hops: an honest node is blamed for it", ttl, hops)
			}
		}
	}
}

// squeeze compresses n bytes and claims another number.
func squeeze(b *Body, n int, claim uint32) {
	b.Payload = bytes.Repeat([]byte("x"), n)
	b.compress()
	b.Raw = claim
}

func TestUndecodableMessagesAreRefused(t *testing.T) {
	many := make([]crux.NodeID, MaxOnly+1)
	for i := range many {
		many[i] = node(i)
	}
	slices.SortFunc(many, crux.NodeID.Compare)
	for name, m := range map[string]Message{
		"no hops":         &Push{Body: body(4, 1, 1, nil)},
		"endless hops":    &Push{Body: body(4, 1, 1, nil), Hops: MaxTTL + 1},
		"a root too many": &Push{Body: body(4, 1, 1, nil), Hops: 1, Root: 1},
		"a huge route":    &Push{Body: body(4, 1, 1, func(b *Body) { b.Record = true }), Hops: 1, Route: many[:MaxRoute+1]},
		"many receivers":  push(body(4, 1, 1, func(b *Body) { b.Only = many })),
		"disordered":      push(body(4, 1, 1, func(b *Body) { b.Only = []crux.NodeID{many[1], many[0]} })),
		"many roots":      push(body(4, 1, 1, func(b *Body) { b.Roots = many[:MaxFanout+1] })),
		"no number":       push(body(4, 1, 0, nil)),
		"no topic":        push(body(4, 1, 1, func(b *Body) { b.Topic = "" })),
		"a long topic":    push(body(4, 1, 1, func(b *Body) { b.Topic = string(make([]byte, MaxTopic+1)) })),
		"a long life":     push(body(4, 1, 1, func(b *Body) { b.TTL = MaxTTL + 1 })),
		"a huge payload":  push(body(4, 1, 1, func(b *Body) { b.Payload = make([]byte, MaxPayload+1) })),
		"a bomb":          push(body(4, 1, 1, func(b *Body) { b.Raw = MaxPayload + 1 })),
		"an empty group":  &IHave{[]Group{{Origin: node(1), Epoch: 1}}},
		"a number twice":  &IHave{[]Group{{node(1), 1, []Item{{5, 0}, {5, 0}}}}},
		"many items":      &IHave{[]Group{{node(1), 1, items(600)}, {node(2), 1, items(600)}}},
		"many asked for":  &Graft{make([]ID, maxIDs+1)},
	} {
		if got, err := Decode(m.Append(nil)); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%s: %T, %v", name, got, err)
		}
	}
}

func items(n int) (out []Item) {
	for i := range n {
		out = append(out, Item{uint64(i + 1), 0})
	}
	return out
}

func TestOldLivesAndEchoesAreIgnored(t *testing.T) {
	w, send := attack(t)
	w.peers[0].update(w.add(4, 3).adjacency())
	for name, m := range map[string]Message{
		"an earlier life": push(body(4, 1, 1, nil)), "its own message": push(body(0, 1, 99, nil)),
		"its own, announced": &IHave{[]Group{{node(0), 1, items(9)}}},
	} {
		if r := send(m); len(r.Delivered)+len(r.Sends) > 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	w.run(time.Second)
	if s := w.peers[0].c.Stats(); s.Asked > 0 {
		t.Errorf("it asked for %d", s.Asked)
	}
}

func TestANeighbourThatForgesIsNotHeardForLong(t *testing.T) {
	w, send := attack(t)
	c := w.peers[0].c
	checks := 0
	inner := c.cfg.Verify
	c.cfg.Verify = func(card *route.Card, msg []byte, sig [64]byte) bool { checks++; return inner(card, msg, sig) }
	for i := range 1000 {
		b := body(4, 1, uint64(i+1), nil)
		b.Sig[0]++
		send(push(b))
	}
	if checks > int(badRate.Burst) {
		t.Errorf("%d signatures were checked", checks)
	}
	w.link(0, 1, false)
	w.link(0, 1, true)
	if r := send(push(body(4, 1, 5000, nil))); len(r.Delivered) != 0 {
		t.Error("over another link it is heard again")
	}
	w.run(10 * time.Second)
	if r := send(push(body(4, 1, 5001, nil))); len(r.Delivered) != 1 {
		t.Error("later it is not heard again")
	}
}

func TestOfTwoMessagesWithOneNumberTheFirstStays(t *testing.T) {
	w, send := attack(t)
	roots := func(b *Body) { b.Roots = nodes(4, 3) }
	send(push(body(4, 1, 1, roots)))
	for i := range 50 {
		other := push(body(4, 1, 1, func(b *Body) { roots(b); b.Payload = []byte{byte(i)} }))
		other.Root = 1
		if r := send(other); len(r.Delivered)+len(r.Sends) > 0 {
			t.Fatal("the second was taken")
		}
	}
	if r := send(push(body(3, 1, 1, nil))); len(r.Delivered) != 1 {
		t.Error("the neighbour that passed it on is not heard any more")
	}
	w.run(time.Second)
}

func TestFalseAnnouncementsCostLittle(t *testing.T) {
	w, send := attack(t)
	c := w.peers[0].c
	r := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		send(&IHave{[]Group{{node(r.IntN(1000)), r.Uint64N(9), items(100)}}})
		if len(c.missing) > c.cfg.Params.Missing || len(c.waits) > 2*c.cfg.Params.Missing {
			t.Fatalf("%d messages are waited for", len(c.missing))
		}
		w.run(ms)
	}
	id := w.publishFrom(4, "x", Options{})
	w.run(ms * 100)
	if _, ok := w.peers[0].got[id]; !ok {
		t.Error("meanwhile others are not heard")
	}
	w.run(time.Minute)
	if len(c.missing)+len(c.waits) > 0 {
		t.Errorf("%d messages are waited for in the end", len(c.missing))
	}
}

func TestRepairForOneNeighbourIsBounded(t *testing.T) {
	w, send := attack(t)
	id := w.publishFrom(0, string(make([]byte, 1<<20)), Options{})
	sent := 0
	for range 1000 {
		for _, s := range send(&Graft{[]ID{id, id, id}}).Sends {
			sent += s.Msg.Size()
		}
		if sent%3 == 0 { // nor is there more for who comes again
			w.link(0, 1, false)
			w.link(0, 1, true)
		}
	}
	if most := w.params.Serve + 2<<20; sent > most {
		t.Errorf("%d bytes were sent", sent)
	}
	if r := send(&Graft{[]ID{{node(4), 1, 77}}}); len(r.Sends) > 0 {
		t.Error("what is not there was sent")
	}
}

func TestWhoHasNoLinkIsNotHeard(t *testing.T) {
	w, _ := attack(t)
	if r := w.peers[0].c.Receive(w.now, node(4), push(body(4, 1, 1, nil))); len(r.Delivered) > 0 {
		t.Error("it was")
	}
}

func TestNoMessageMakesItPanic(t *testing.T) {
	w, send := attack(t)
	r := rand.New(rand.NewPCG(3, 3))
	for range 5000 {
		id := ID{node(r.IntN(7)), uint64(r.IntN(3)), 1 + uint64(r.IntN(30))}
		var m Message
		switch r.IntN(4) {
		case 0:
			m = &IHave{[]Group{{id.Origin, id.Epoch, []Item{{id.Seq, uint8(r.IntN(256))}}}}}
		case 1:
			m = &Graft{[]ID{id}}
		default:
			b := body(r.IntN(7), uint64(r.IntN(3)), id.Seq, func(b *Body) {
				b.Record, b.TTL = r.IntN(2) == 0, uint32(r.IntN(3))
				if r.IntN(2) == 0 {
					b.Roots = nodes(r.IntN(9), r.IntN(9))
				}
				if r.IntN(3) == 0 {
					b.Only = ordered(nodes(r.IntN(9), r.IntN(9)))
				}
			})
			p := push(b)
			p.Hops, p.Root = 1+uint32(r.IntN(4)), uint8(r.IntN(max(1, len(b.Roots))))
			if b.Record {
				p.Route = append(p.Route, node(1))
			}
			m = p
		}
		if w.peers[0].c.muted(node(1)) {
			w.run(20 * time.Second)
		}
		send(m)
		w.run(time.Duration(r.IntN(20)) * ms)
	}
	if len(w.peers[2].all) == 0 {
		t.Error(fmt.Sprint("nothing went on: ", w.peers[0].c.Stats()))
	}
}
