package replica

import "testing"

// Lengths that shift beyond a word are no lengths.
func TestSumsOfAnyLengthDecodeOrDoNot(t *testing.T) {
	for k := range 256 {
		for _, kind := range []byte{0x53, 0x54} {
			b := append([]byte{kind, 0, byte(k)}, make([]byte, 8<<min(k, 9))...)
			if m, err := Decode(b); err == nil && k > 8 {
				t.Fatalf("kind %x: %d groups were read as %+v", kind, k, m)
			}
		}
	}
}
