package packet

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/flock"
)

// Scope is what a key is good for: the bloc and the flock name go into every
// derivation, so that others cannot even tell what a packet is.
type Scope struct {
	Bloc crux.BlocID
	Name string
}

// key is one key of the protocol as its users derive from it: the name by which
// packets call it, the header tag, and the AEAD of each sender.
type key struct {
	id   uint64
	base [32]byte
	mac  cipher.Block
}

// newKey makes the key whose base is derived from secret for one use, which the
// label and the fields name.
func (s Scope) newKey(secret []byte, label string, fields ...[]byte) *key {
	all := append([][]byte{[]byte(s.Bloc), []byte(s.Name)}, fields...)
	k := &key{base: [32]byte(derive(secret, label, 32, all...))}
	k.id = binary.BigEndian.Uint64(derive(k.base[:], "key id", 8))
	k.mac = newBlock(derive(k.base[:], "header", 32))
	return k
}

// secondary makes the key of discovery.
func (s Scope) secondary(secret bloc.Secondary) *key {
	return s.newKey(secret[:], "fulcrum flock secondary v1")
}

// transient makes the key of an epoch.
func (s Scope) transient(t flock.Key) *key {
	return s.newKey(t.Secret[:], "fulcrum flock transient v1",
		t.Flock[:], binary.BigEndian.AppendUint64(nil, t.Epoch))
}

// aead is what a sender seals with in an incarnation. No two senders, and no two
// processes of one, have the same.
func (k *key) aead(sender crux.NodeID, incarnation uint64) cipher.AEAD {
	b := derive(k.base[:], "sending", 32, sender[:], binary.BigEndian.AppendUint64(nil, incarnation))
	g, err := cipher.NewGCM(newBlock(b))
	if err != nil {
		panic("packet: AES has the block size that GCM wants: " + err.Error())
	}
	return g
}

// derive is HKDF-SHA256 with the label and all fields length-prefixed as info.
func derive(secret []byte, label string, n int, fields ...[]byte) []byte {
	info := crux.AppendField(make([]byte, 0, 128), []byte(label))
	for _, f := range fields {
		info = crux.AppendField(info, f)
	}
	b, err := hkdf.Key(sha256.New, secret, nil, string(info), n)
	if err != nil {
		panic("packet: HKDF gives up to 8,160 bytes: " + err.Error())
	}
	return b
}

func newBlock(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic("packet: AES-256 takes 32 bytes: " + err.Error())
	}
	return b
}

// tagger makes header tags: the first 8 bytes of AES-CBC-MAC under the key's
// own tag key. CBC-MAC is a pseudo-random function over messages of one fixed
// length, which a header is (44 bytes, and 4 zeros to fill three blocks). It is
// taken rather than a keyed hash because it costs three AES operations, some 30
// ns, and no memory: it is what a flood makes us compute. One goroutine owns a
// tagger.
type tagger struct{ x [aes.BlockSize]byte }

// tag returns the tag of a packet's header; the slice is good until the next
// call.
func (t *tagger) tag(k *key, p []byte) []byte {
	clear(t.x[:])
	for i := 0; i < headerSize; i += aes.BlockSize {
		end := min(i+aes.BlockSize, headerSize)
		subtle.XORBytes(t.x[:], t.x[:], p[i:end])
		k.mac.Encrypt(t.x[:], t.x[:])
	}
	return t.x[:tagSize]
}

// check says whether a packet's header tag is right.
func (t *tagger) check(k *key, p []byte) bool {
	return subtle.ConstantTimeCompare(t.tag(k, p), p[headerSize:Headroom]) == 1
}
