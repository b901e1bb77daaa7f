package fabric

import (
	"bytes"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/overlay"
	"fulcrum.example/lashup/route"
)

// samples has a message of each part.
func samples() map[byte]Message {
	return map[byte]Message{
		kindOverlay: &overlay.Neighbour{High: true},
		kindDetect:  &detect.Ping{Seq: 7},
		kindRoute:   &route.Digest{Hash: 1, Count: 2},
		kindCast:    &cast.Graft{IDs: []cast.ID{{Origin: id(1), Epoch: 1, Seq: 2}}},
		kindStore:   Raw{0x61, 3},
	}
}

func TestMessagesFindTheirPart(t *testing.T) {
	for part, msg := range samples() {
		b := msg.Append(nil)
		got, err := Decode(b)
		if err != nil {
			t.Errorf("%#x: %v", part, err)
			continue
		}
		if partOf(msg) != part || partOf(got) != part || len(b) != msg.Size() || !bytes.Equal(got.Append(nil), b) {
			t.Errorf("%#x: %T is of part %#x, and decoded as %T of %#x", part, msg, partOf(msg), got, partOf(got))
		}
		if _, err := Decode(append(b, 0)); part != kindStore && crux.KindOf(err) != crux.Invalid {
			t.Errorf("%#x with a byte too many: %v", part, err)
		}
	}
	for _, b := range [][]byte{nil, {0}, {0x10}, {0x70}, {0xff, 1}, {0x2f}} {
		if m, err := Decode(b); err == nil || m != nil || crux.KindOf(err) != crux.Invalid {
			t.Errorf("%x: %v, %v", b, m, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, msg := range samples() {
		f.Add(msg.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if m.Size() != len(b) || !bytes.Equal(m.Append(nil), b) {
			t.Errorf("%x is read as %T, which is written as %x", b, m, m.Append(nil))
		}
	})
}
