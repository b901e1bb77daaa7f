package route

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"

	"fulcrum.example/crux"
	"pgregory.net/rapid"
)

func drawID(t *rapid.T) (id crux.NodeID) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "id"))
	id[7] |= 1 // not zero
	return id
}

func drawAddr(t *rapid.T) netip.AddrPort {
	switch rapid.IntRange(0, 2).Draw(t, "addr") {
	case 0:
		return netip.AddrPort{}
	case 1:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 2, rapid.Byte().Draw(t, "ip")}), rapid.Uint16().Draw(t, "port"))
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, 15: rapid.Byte().Draw(t, "ip")}), rapid.Uint16().Draw(t, "port"))
}

func drawCard(t *rapid.T, id crux.NodeID, epoch uint64) *Card {
	c := &Card{
		Node: id, Epoch: epoch, Seq: rapid.Uint32().Draw(t, "seq"),
		Inst: crux.Inst(rapid.SampledFrom([]string{"", "lashup1_0", "lashup1_12_3"}).Draw(t, "inst")),
		Addr: drawAddr(t), Link: drawAddr(t),
	}
	c.Session[3], c.Exchange[4], c.Sig[5] = 1, 2, 3
	return c
}

func drawAdjacency(t *rapid.T) *Adjacency {
	a := &Adjacency{
		Node: drawID(t), Epoch: rapid.Uint64().Draw(t, "epoch"), Clock: rapid.Uint64().Draw(t, "clock"),
		Leaving: rapid.Bool().Draw(t, "leaving"), Master: rapid.Bool().Draw(t, "master"),
	}
	a.Card = drawCard(t, a.Node, a.Epoch)
	for range rapid.IntRange(0, 8).Draw(t, "edges") {
		if id := drawID(t); id != a.Node && !contains(a.Edges, id) {
			a.Edges = append(a.Edges, id)
		}
	}
	for range rapid.IntRange(0, 4).Draw(t, "cuts") {
		id := drawID(t)
		if _, ok := a.CutOf(id); !ok {
			a.Cuts = append(a.Cuts, Cut{id, Why(rapid.IntRange(0, int(whys)-1).Draw(t, "why"))})
		}
		a.Normalize()
	}
	return sign(a)
}

func contains(ids []crux.NodeID, id crux.NodeID) bool {
	for _, x := range ids {
		if x == id {
			return true
		}
	}
	return false
}

func drawMessage(t *rapid.T) Message {
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		return &Digest{rapid.Uint64().Draw(t, "hash"), rapid.Uint32().Draw(t, "count"), rapid.Bool().Draw(t, "answer")}
	case 1:
		m := &Buckets{make([]uint64, 1<<rapid.IntRange(0, maxBits).Draw(t, "bits"))}
		m.Sums[0] = rapid.Uint64().Draw(t, "sum")
		return m
	case 2:
		m := &Summary{Stamps: []Stamp{}, More: rapid.Bool().Draw(t, "more")}
		for _, id := range drawIDs(t) {
			m.Stamps = append(m.Stamps, Stamp{id, rapid.Uint64().Draw(t, "epoch"), rapid.Uint64().Draw(t, "clock")})
		}
		return m
	case 3:
		return &Want{drawIDs(t)}
	case 4:
		m := &Rows{[]*Adjacency{}}
		for range rapid.IntRange(0, 3).Draw(t, "rows") {
			m.Adjacencies = append(m.Adjacencies, drawAdjacency(t))
		}
		return m
	}
	m := &News{[]Item{}}
	for range rapid.IntRange(0, 3).Draw(t, "items") {
		m.Items = append(m.Items, Item{drawAdjacency(t), rapid.Bool().Draw(t, "bare")})
	}
	return m
}

func drawIDs(t *rapid.T) []crux.NodeID {
	var ids []crux.NodeID
	for range rapid.IntRange(0, 5).Draw(t, "ids") {
		if id := drawID(t); !contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return sorted(ids)
}

func TestMessagesSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		b := m.Append([]byte("before"))[len("before"):]
		if len(b) != m.Size() {
			t.Fatalf("%T: %d bytes, Size says %d", m, len(b), m.Size())
		}
		got, err := Decode(b)
		if err != nil {
			t.Fatalf("%T: %v", m, err)
		}
		want := m
		if news, ok := m.(*News); ok {
			want = asReceived(news)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%T: %+v came back as %+v", m, want, got)
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

// asReceived is the message with cards left out where they travel bare.
func asReceived(m *News) *News {
	out := &News{[]Item{}}
	for _, it := range m.Items {
		if it.Bare {
			a := it.Adjacency.withCard(nil)
			a.bare = it.Adjacency.Card.Seq
			it.Adjacency = a
		}
		out.Items = append(out.Items, it)
	}
	return out
}

func TestCardsSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCard(t, drawID(t), rapid.Uint64().Draw(t, "epoch"))
		b := c.Append(nil)
		if len(b) != c.Size() {
			t.Fatalf("%d bytes, Size says %d", len(b), c.Size())
		}
		got, err := DecodeCard(b)
		if err != nil || *got != *c {
			t.Fatalf("%+v came back as %+v, %v", c, got, err)
		}
		for cut := range b {
			if _, err := DecodeCard(b[:cut]); crux.KindOf(err) != crux.Invalid {
				t.Fatalf("cut to %d of %d bytes: %v", cut, len(b), err)
			}
		}
	})
}

// TestSignaturesCoverEveryField changes one field at a time.
func TestSignaturesCoverEveryField(t *testing.T) {
	base := func() *Adjacency {
		return &Adjacency{Node: node(1), Epoch: 3, Clock: 4, Edges: sorted(nodes(2, 3)), Cuts: []Cut{{node(4), Dead}}, Card: card(1, 3, 1)}
	}
	seen := map[string]string{string(base().SignedBytes()): "none"}
	for name, change := range map[string]func(*Adjacency){
		"node": func(a *Adjacency) { a.Node = node(9) }, "epoch": func(a *Adjacency) { a.Epoch++ }, "clock": func(a *Adjacency) { a.Clock++ },
		"edge": func(a *Adjacency) { a.Edges = sorted(nodes(2, 5)) }, "fewer edges": func(a *Adjacency) { a.Edges = a.Edges[:1] },
		"cut": func(a *Adjacency) { a.Cuts = []Cut{{node(5), Dead}} }, "why": func(a *Adjacency) { a.Cuts = []Cut{{node(4), Hung}} },
		"no cut": func(a *Adjacency) { a.Cuts = nil }, "leaving": func(a *Adjacency) { a.Leaving = true },
		"master": func(a *Adjacency) { a.Master = true }, "card": func(a *Adjacency) { a.Card = card(1, 3, 2) },
	} {
		a := base()
		change(a)
		if with, dup := seen[string(a.SignedBytes())]; dup {
			t.Errorf("what is signed does not change with: %s (as with: %s)", name, with)
		}
		seen[string(a.SignedBytes())] = name
	}
	cards := map[string]bool{}
	for _, change := range []func(*Card){
		func(*Card) {}, func(c *Card) { c.Node = node(9) }, func(c *Card) { c.Epoch++ }, func(c *Card) { c.Seq++ }, func(c *Card) { c.Inst = "lashup1_1" },
		func(c *Card) { c.Addr = c.Link }, func(c *Card) { c.Link = c.Addr }, func(c *Card) { c.Session[9]++ }, func(c *Card) { c.Exchange[9]++ },
	} {
		c := card(1, 3, 1)
		change(c)
		cards[string(c.SignedBytes())] = true
	}
	if len(cards) != 9 {
		t.Errorf("two of the cards sign the same: %d differ", len(cards))
	}
}

func TestABareAdjacencySignsTheSame(t *testing.T) {
	a := adjacency(1, 5, 2, 3)
	m, err := Decode((&News{[]Item{{a, true}}}).Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	b := m.(*News).Items[0].Adjacency
	if b.Card != nil || !bytes.Equal(a.SignedBytes(), b.SignedBytes()) || !verify(b.withCard(a.Card)) {
		t.Error("it signs something else")
	}
}

func TestHostileCountsAllocateNothing(t *testing.T) {
	for _, b := range [][]byte{
		{kindSummary, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}, {kindWant, 0xff, 0x7f}, {kindRows, 0x80, 0x01}, {kindNews, 0xff, 0xff, 0x03},
		{kindBuckets, 9}, {kindBuckets, 255}, {kindDigest}, {}, {0x2f}, {0x36},
		{kindWant, 0x80, 0x00}, // a number that is longer than it need be
	} {
		if m, err := Decode(b); crux.KindOf(err) != crux.Invalid {
			t.Errorf("% x: %v, %v", b, m, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	a := adjacency(1, 5, 2, 3)
	for _, m := range []Message{
		&Digest{1, 2, true}, &Buckets{[]uint64{1, 2}}, &Summary{[]Stamp{{node(1), 1, 2}}, true}, &Want{nodes(1)},
		&Rows{[]*Adjacency{a}}, &News{[]Item{{a, false}, {withCuts(a, 6, Cut{node(2), Dead}), true}}},
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
	})
}

func FuzzDecodeCard(f *testing.F) {
	f.Add(card(1, 2, 3).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := DecodeCard(b); err == nil && !bytes.Equal(c.Append(nil), b) {
			t.Fatalf("% x is written as % x", b, c.Append(nil))
		}
	})
}

func TestTheNewerCardSupersedes(t *testing.T) {
	for _, c := range []struct {
		a, b *Card
		want bool
	}{
		{card(1, 1, 1), nil, true}, {card(1, 2, 1), card(1, 1, 9), true}, {card(1, 1, 2), card(1, 1, 1), true},
		{card(1, 1, 1), card(1, 1, 1), false}, {card(1, 1, 9), card(1, 2, 1), false},
	} {
		if c.a.Newer(c.b) != c.want || c.want && c.b != nil && c.b.Newer(c.a) {
			t.Errorf("%d.%d after %v: want %v", c.a.Epoch, c.a.Seq, c.b, c.want)
		}
	}
}

func TestEveryStateAndReasonHasAName(t *testing.T) {
	seen := map[string]bool{}
	for w := range whys {
		seen[w.String()] = true
	}
	for s := range Down + 1 {
		seen[s.String()] = true
	}
	if len(seen) != int(whys)+3 || whys.String() != "unreachable" || (Down+1).String() != "unknown" {
		t.Errorf("%v", seen)
	}
}
