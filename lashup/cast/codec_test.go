package cast

import (
	"bytes"
	"reflect"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/route"
	"pgregory.net/rapid"
)

func drawIDs(t *rapid.T, name string, most int) (out []crux.NodeID) {
	for range rapid.IntRange(0, most).Draw(t, name) {
		out = append(out, node(rapid.IntRange(0, 1000).Draw(t, "id")))
	}
	return out
}

func drawID(t *rapid.T) ID {
	return ID{node(rapid.IntRange(0, 1000).Draw(t, "origin")), rapid.Uint64().Draw(t, "epoch"), max(1, rapid.Uint64().Draw(t, "seq"))}
}

func drawBody(t *rapid.T) *Body {
	b := &Body{
		ID: drawID(t), Topic: rapid.StringN(1, 20, MaxTopic).Draw(t, "topic"), Record: rapid.Bool().Draw(t, "record"),
		TTL: uint32(rapid.IntRange(0, MaxTTL).Draw(t, "ttl")), Roots: drawIDs(t, "roots", MaxFanout),
		Payload: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "payload"),
	}
	if only := ordered(drawIDs(t, "only", 6)); len(only) > 0 {
		b.Only = only
	}
	if rapid.Bool().Draw(t, "compressed") {
		b.Raw = uint32(rapid.IntRange(1, MaxPayload).Draw(t, "raw"))
	}
	b.Sig[7] = 9
	return b
}

func drawMessage(t *rapid.T) Message {
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		m := &IHave{[]Group{}}
		for range rapid.IntRange(0, 4).Draw(t, "groups") {
			id := drawID(t)
			g := Group{Origin: id.Origin, Epoch: id.Epoch}
			seq := uint64(0)
			for range rapid.IntRange(1, 5).Draw(t, "items") {
				seq += rapid.Uint64Range(1, 1<<40).Draw(t, "step")
				g.Items = append(g.Items, Item{seq, rapid.Byte().Draw(t, "age")})
			}
			m.Groups = append(m.Groups, g)
		}
		return m
	case 1:
		m := &Graft{[]ID{}}
		for range rapid.IntRange(0, 5).Draw(t, "ids") {
			m.IDs = append(m.IDs, drawID(t))
		}
		return m
	}
	b := drawBody(t)
	return &Push{
		Body: b, Root: uint8(rapid.IntRange(0, max(1, len(b.Roots))-1).Draw(t, "root")),
		Hops: uint32(rapid.IntRange(1, MaxTTL).Draw(t, "hops")), Route: drawIDs(t, "route", 5),
	}
}

func TestMessagesSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		b := m.Append([]byte("before"))[len("before"):]
		if len(b) != m.Size() {
			t.Fatalf("%T: %d bytes, Size says %d", m, len(b), m.Size())
		}
		got, err := Decode(bytes.Clone(b))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%T: %+v came back as %+v: %v", m, m, got, err)
		}
		for cut := range b {
			if _, err := Decode(b[:cut]); crux.KindOf(err) != crux.Invalid {
				t.Fatalf("%T cut to %d of %d bytes: %v", m, cut, len(b), err)
			}
		}
		if _, err := Decode(append(b, 0)); err == nil {
			t.Fatalf("%T: a byte too many is not seen", m)
		}
	})
}

func TestCompressionLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "piece")
		payload := bytes.Repeat(piece, rapid.IntRange(1, 200).Draw(t, "times"))
		b := &Body{Payload: payload}
		b.compress()
		if b.Raw > 0 && len(b.Payload) >= len(payload) {
			t.Fatalf("%d bytes became %d", len(payload), len(b.Payload))
		}
		if plain, ok := b.expand(); !ok || !bytes.Equal(plain, payload) {
			t.Fatal("it came back as something else")
		}
	})
}

func FuzzDecode(f *testing.F) {
	b := body(4, 1, 1, func(b *Body) { b.Record, b.TTL, b.Roots, b.Only = true, 9, nodes(4, 2), ordered(nodes(1, 2)) })
	z := body(4, 1, 2, func(b *Body) { squeeze(b, 2000, 2000) })
	for _, m := range []Message{
		&Push{Body: b, Root: 1, Hops: 3, Route: nodes(4, 1)}, push(z), &IHave{[]Group{{node(1), 2, []Item{{5, 0}, {7, 255}}}}}, &Graft{[]ID{{node(1), 2, 3}}},
	} {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if m.Size() != len(b) || !bytes.Equal(m.Append(nil), b) {
			t.Fatalf("% x is %T, which is written as % x", b, m, m.Append(nil))
		}
		if p, ok := m.(*Push); ok && p.Body.Raw > 0 {
			if plain, ok := p.Body.expand(); ok && len(plain) != int(p.Body.Raw) {
				t.Fatalf("%d bytes were promised, %d came", p.Body.Raw, len(plain))
			}
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	w := newWorld(&testing.T{}, 1000, 1, randomEdges(1, 1000))
	p := w.peers[5]
	from := p.neighbours()[0]
	seq := uint64(0)
	p.c.cfg.Verify = func(*route.Card, []byte, [64]byte) bool { return true }
	for b.Loop() {
		seq++
		m := push(&Body{ID: ID{node(9), 1, seq}, Topic: "news", Payload: make([]byte, 200)})
		if r := p.c.Receive(w.now, from, m); len(r.Delivered) != 1 {
			b.Fatal("it is not delivered")
		}
	}
}
