package seal

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"testing"

	"fulcrum.example/crux"
)

var (
	scope    = Scope{Bloc: "rack7", Name: "main"}
	ann, bob = crux.NodeID{1}, crux.NodeID{2}
)

func packet(k *Key, counter uint64, body string) []byte {
	p := append(make([]byte, Headroom), body...)
	h := Header[uint8]{Kind: 7, KeyID: k.ID, Sender: ann, Incarnation: 3, Counter: counter, Receiver: bob}
	return Seal(new(Scratch), p, &h, k, k.AEAD(ann, 3))
}

func TestWhatIsSealedOpens(t *testing.T) {
	t.Parallel()
	k := scope.NewKey([]byte("secret"), "label")
	p := packet(k, 9, "hello")
	h, v := Parse[uint8](p, len(p))
	want := Header[uint8]{Kind: 7, KeyID: k.ID, Sender: ann, Incarnation: 3, Counter: 9, Receiver: bob}
	if v != Accepted || h != want {
		t.Fatalf("verdict %v, header %+v", v, h)
	}
	var s Scratch
	if !s.Check(k, p) {
		t.Fatal("the tag is wrong")
	}
	if b, ok := s.Open(k.AEAD(ann, 3), 9, bytes.Clone(p)); !ok || string(b) != "hello" {
		t.Fatalf("%q, %v", b, ok)
	}
	if _, ok := s.Open(k.AEAD(bob, 3), 9, bytes.Clone(p)); ok {
		t.Error("another sender's key opens it")
	}
	if _, ok := s.Open(k.AEAD(ann, 4), 9, bytes.Clone(p)); ok {
		t.Error("another incarnation's key opens it")
	}
	if _, ok := s.Open(k.AEAD(ann, 3), 8, bytes.Clone(p)); ok {
		t.Error("another nonce opens it")
	}
}

func TestTheHeaderSaysHowLongAPacketIs(t *testing.T) {
	t.Parallel()
	p := packet(scope.NewKey([]byte("secret"), "label"), 0, "hello")
	for n := range p {
		if _, v := Parse[uint8](p[:n], 1000); v != BadLength {
			t.Errorf("%d of %d bytes: %v", n, len(p), v)
		}
	}
	if _, v := Parse[uint8](p, len(p)-1); v != BadLength {
		t.Errorf("beyond the most: %v", v)
	}
	p[0]++
	if _, v := Parse[uint8](p, len(p)); v != BadVersion {
		t.Errorf("another version: %v", v)
	}
}

func TestKeysDifferByEveryField(t *testing.T) {
	t.Parallel()
	seen := map[uint64]string{}
	for name, k := range map[string]*Key{
		"one":             scope.NewKey([]byte("secret"), "label", []byte("ab"), []byte("c")),
		"divided":         scope.NewKey([]byte("secret"), "label", []byte("a"), []byte("bc")),
		"an empty field":  scope.NewKey([]byte("secret"), "label", []byte("ab"), []byte("c"), nil),
		"another label":   scope.NewKey([]byte("secret"), "labe", []byte("lab"), []byte("c")),
		"another secret":  scope.NewKey([]byte("secre"), "label", []byte("ab"), []byte("c")),
		"another bloc":    Scope{Bloc: "rack8", Name: "main"}.NewKey([]byte("secret"), "label", []byte("ab"), []byte("c")),
		"another name":    Scope{Bloc: "rack7", Name: "mai"}.NewKey([]byte("secret"), "label", []byte("ab"), []byte("c")),
		"a longer secret": scope.NewKey([]byte("secret!"), "label", []byte("ab"), []byte("c")),
	} {
		if other, ok := seen[k.ID]; ok {
			t.Errorf("%s and %s are one key", name, other)
		}
		seen[k.ID] = name
	}
}

func TestBothSidesAgree(t *testing.T) {
	t.Parallel()
	a, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x, err := Agree(a, [32]byte(b.PublicKey().Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	y, err := Agree(b, [32]byte(a.PublicKey().Bytes()))
	if err != nil || !bytes.Equal(x, y) {
		t.Fatalf("%x and %x, %v", x, y, err)
	}
	if _, err := Agree(a, [32]byte{}); crux.KindOf(err) != crux.Invalid {
		t.Errorf("a key of low order: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(packet(scope.NewKey([]byte("secret"), "label"), 0, "hello"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, p []byte) {
		h, v := Parse[uint8](p, 1232)
		if v != Accepted {
			return
		}
		again := bytes.Clone(p)
		h.put(again)
		if !bytes.Equal(again, p) {
			t.Fatalf("read %x, wrote %x", p, again)
		}
	})
}
