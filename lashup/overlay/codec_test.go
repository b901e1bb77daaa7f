package overlay

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func testRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 5)) }

func TestMessagesReadBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := message(t)
		b := m.Append(nil)
		if len(b) != m.Size() {
			t.Fatalf("%T: %d bytes, Size says %d", m, len(b), m.Size())
		}
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v became %+v, %v", m, got, err)
		}
		if _, err := Decode(append(b, 0)); err == nil {
			t.Fatalf("%T with a byte too many was taken", m)
		}
		if _, err := Decode(b[:len(b)-1]); err == nil {
			t.Fatalf("%T without its last byte was taken", m)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, m := range []Message{
		&Join{2}, &Neighbour{true}, &Accept{1, nil}, &Refuse{true, nil}, &Disconnect{}, &ForwardJoin{TTL: 6}, &Shuffle{}, &ShuffleReply{},
	} {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if m.Size() != len(b) || !bytes.Equal(m.Append(nil), b) {
			t.Errorf("%x reads as %+v, which is written otherwise", b, m)
		}
	})
}
