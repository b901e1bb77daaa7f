package replica

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

func drawContext(t *rapid.T) (c crdt.Context) {
	for range rapid.IntRange(0, 4).Draw(t, "spans") {
		lo := rapid.Uint64Range(0, 1000).Draw(t, "lo")
		inc := rapid.Uint64Range(1, 5).Draw(t, "incarnation")
		c.AddRange(crdt.Actor{Node: testID(rapid.IntRange(0, 3).Draw(t, "node")), Incarnation: inc}, lo, lo+rapid.Uint64Range(1, 300).Draw(t, "length"))
	}
	return c
}

func drawBundle(t *rapid.T) (b Bundle) {
	var list bundler
	shared := &proof{batch: &batch{leaves: 3}, leaf: 1, path: []hash{{1}, {2}}}
	seen := map[string]bool{}
	for i := range rapid.IntRange(0, 5).Draw(t, "items") {
		key := anyKey.Draw(t, "key")
		if key[0] == ownedElement {
			continue
		}
		v := Value{State: []byte(rapid.StringN(0, 20, -1).Draw(t, "state"))}
		var p *proof
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			key = append([]string{ownedElement, testID(1).String()}, key...)
			p = &proof{batch: &batch{leaves: 1, sig: [sigSize]byte{byte(i)}}}
			v.Whole = rapid.Bool().Draw(t, "whole")
		case 1:
			if shared != nil {
				key = append([]string{ownedElement, testID(2).String()}, key...)
				p, shared = shared, nil
			}
		case 2:
			v.After = crdt.Mark{Incarnation: 1, Seq: rapid.Uint64Range(0, 500).Draw(t, "after")}
		}
		enc, err := EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if v.Key = enc; !seen[enc] {
			seen[enc] = true
			list.add(v, p)
		}
	}
	return list.bundle(func(string) hash { return hash{7} })
}

func drawSums(t *rapid.T) []uint64 {
	out := make([]uint64, 1<<rapid.IntRange(0, 8).Draw(t, "groups"))
	for i := range out {
		out[i] = rand.New(rand.NewPCG(uint64(i), 1)).Uint64()
	}
	return out
}

// drawMessage makes a message of any kind.
func drawMessage(t *rapid.T) Message {
	flag := func() bool { return rapid.Bool().Draw(t, "flag") }
	id := RoundID{rapid.Uint64Range(1, 1000).Draw(t, "round"), testID(1)}
	cards := []Card{{testID(1), 2, []byte("card")}}
	switch rapid.IntRange(0, 14).Draw(t, "message") {
	case 0:
		m := &Update{Volatile: flag(), Incarnation: 3, Clock: 4, Bundle: drawBundle(t)}
		if len(m.Items) > 0 {
			m.Ranges = []Range{{0, 2}, {5, rapid.Uint64Range(6, 1<<62).Draw(t, "hi")}}
		}
		return m
	case 1:
		return &Round{id, drawContext(t), []Closing{{crux.NodeID{1}, 2}, {crux.NodeID{2}, 9}}}
	case 2:
		return &Digest{flag(), flag(), 1, 2, 3, 4, 5}
	case 3:
		return &Sums{flag(), flag(), drawSums(t)}
	case 4:
		m := &Want{Nonce: 1, Volatile: flag(), First: flag(), Settled: 9, Sums: drawSums(t), Have: drawContext(t)}
		m.Groups.add(rapid.IntRange(0, len(m.Sums)-1).Draw(t, "group"))
		return m
	case 5:
		return &Chunk{2, flag(), flag(), drawBundle(t), cards, drawContext(t)}
	case 6:
		return &Part{rapid.Uint64Range(0, maxMessage).Draw(t, "left"), []byte("data")}
	case 7:
		return &Status{flag(), RoundID{}, id}
	case 8:
		return &Ask{flag(), flag()}
	case 9:
		return &Vouch{id, []Word{{testID(1), crdt.Mark{Incarnation: 1, Seq: 300}}, {testID(2), crdt.Mark{}}}}
	case 10:
		return &Settled{id, drawContext(t), drawContext(t)}
	case 11:
		return &Tree{Prefix: []byte{1, 2}, Sums: [256]uint64{7: 9}}
	case 12:
		return &Leaves{[]byte{0}, []Leaf{{1, 2}, {3, 4}}}
	case 13:
		return &Fetch{[]uint64{1, 5}}
	}
	return &Repair{[]uint64{4}, drawBundle(t), cards}
}

func TestMessagesAreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		b := m.Append(nil)
		if len(b) != m.Size() {
			t.Fatalf("%T takes %d bytes, and says %d", m, len(b), m.Size())
		}
		got, err := Decode(b)
		if err != nil {
			t.Fatalf("%T: %v", m, err)
		}
		if reflect.TypeOf(got) != reflect.TypeOf(m) || !bytes.Equal(got.Append(nil), b) {
			t.Fatalf("%+v is read as %+v", m, got)
		}
		if _, err := Decode(append(b, 0)); err == nil {
			t.Fatalf("%T: a byte too many is taken", m)
		}
		if n := rapid.IntRange(0, len(b)-1).Draw(t, "cut"); true {
			if short, err := Decode(b[:n]); err == nil && len(short.Append(nil)) != n {
				t.Fatalf("%T: %d bytes of %d are taken", m, n, len(b))
			}
		}
	})
}

func TestLongMessagesTravelInPieces(t *testing.T) {
	long := &Settled{ID: RoundID{1, testID(1)}}
	for i := range 24_000 {
		long.Vector.AddRange(crdt.Actor{Node: crux.NodeID{byte(i >> 8), byte(i)}, Incarnation: 1}, 0, 5)
	}
	parts := split(long)
	if len(parts) < 2 {
		t.Fatalf("%d bytes in %d pieces", long.Size(), len(parts))
	}
	var buf []byte
	for i, m := range parts {
		p, err := Decode(m.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		whole, err := p.(*Part).gather(&buf)
		switch {
		case err != nil:
			t.Fatal(err)
		case i < len(parts)-1 && whole != nil:
			t.Fatal("it is whole too early")
		case i == len(parts)-1 && !bytes.Equal(whole.Append(nil), long.Append(nil)):
			t.Fatal("it is another message")
		}
	}
	for name, p := range map[string]*Part{
		"too long":   {maxMessage, []byte("x")},
		"too short":  {0, []byte{kindDigest}},
		"in a piece": {0, append([]byte{kindPart}, make([]byte, partSize)...)},
	} {
		var buf []byte
		if m, err := p.gather(&buf); err == nil {
			t.Errorf("%s: %T was taken", name, m)
		}
	}
}

func FuzzDecode(f *testing.F) {
	rng := rapid.Custom(drawMessage)
	for i := range 60 {
		f.Add(rng.Example(i).Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if got := m.Append(nil); !bytes.Equal(got, b) || m.Size() != len(b) {
			t.Fatalf("%T of %d bytes is encoded in %d, and says %d", m, len(b), len(got), m.Size())
		}
	})
}

// FuzzLoad gives the replica any line of a disk.
func FuzzLoad(f *testing.F) {
	w := newWorld(f, 2, 1)
	w.hotSize = 60
	w.linkAll()
	w.startAll()
	w.chatter(time.Second, 20)
	w.nodes[0].crash()
	w.nodes[0].start()
	w.run(100 * time.Second)
	for k, v := range w.nodes[0].disk {
		f.Add([]byte(k), v)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		n := &testNode{w: w, id: testID(0), inc: 5}
		r, err := New(w.config(n), 0)
		if err != nil {
			t.Fatal(err)
		}
		if r.Load(key, value) != nil && r.Stats().Corrupt == 0 {
			t.Fatal("what is corrupt was not counted")
		}
		r.LoadDone(0)
		checkReplica(t, r)
	})
}
