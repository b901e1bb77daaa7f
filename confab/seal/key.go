package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"

	"fulcrum.example/crux"
)

// Scope is what a key is good for: the bloc and the flock name go into every
// derivation, so that others cannot even tell what a packet is.
type Scope struct {
	Bloc crux.BlocID
	Name string
}

// Key is one key of a protocol as its users derive from it: the name by which
// packets call it, the header tag, and the AEAD of each sender. It is immutable.
type Key struct {
	ID   uint64
	base [32]byte
	mac  cipher.Block
}

// NewKey makes the key whose base is derived from secret for one use, which the
// label and the fields name.
func (s Scope) NewKey(secret []byte, label string, fields ...[]byte) *Key {
	all := append([][]byte{[]byte(s.Bloc), []byte(s.Name)}, fields...)
	k := &Key{base: [32]byte(Derive(secret, label, 32, all...))}
	k.ID = binary.BigEndian.Uint64(Derive(k.base[:], "key id", 8))
	k.mac = newBlock(Derive(k.base[:], "header", 32))
	return k
}

// AEAD is what a sender seals with in an incarnation: AES-256-GCM. No two
// senders, and no two incarnations of one, have the same.
func (k *Key) AEAD(sender crux.NodeID, incarnation uint64) cipher.AEAD {
	b := Derive(k.base[:], "sending", 32, sender[:], binary.BigEndian.AppendUint64(nil, incarnation))
	g, err := cipher.NewGCM(newBlock(b))
	if err != nil {
		panic("seal: AES has the block size that GCM wants: " + err.Error())
	}
	return g
}

// Derive gives n bytes, at most 8,160, of HKDF-SHA256 over secret, with the label
// and all fields length-prefixed as info.
func Derive(secret []byte, label string, n int, fields ...[]byte) []byte {
	info := crux.AppendField(make([]byte, 0, 128), []byte(label))
	for _, f := range fields {
		info = crux.AppendField(info, f)
	}
	b, err := hkdf.Key(sha256.New, secret, nil, string(info), n)
	if err != nil {
		panic("seal: HKDF gives up to 8,160 bytes: " + err.Error())
	}
	return b
}

// Agree gives what this node shares with the owner of an X25519 public key.
// Errors: Invalid, it is no key, or one of low order.
func Agree(private *ecdh.PrivateKey, public [32]byte) ([]byte, error) {
	const op = "agree on a key"
	pub, err := ecdh.X25519().NewPublicKey(public[:])
	if err != nil {
		return nil, crux.Errorf(op, crux.Invalid, "the exchange key is damaged: %w", err)
	}
	shared, err := private.ECDH(pub) // refuses keys of low order
	if err != nil {
		return nil, crux.Errorf(op, crux.Invalid, "the exchange key is unusable: %w", err)
	}
	return shared, nil
}

func newBlock(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic("seal: AES-256 takes 32 bytes: " + err.Error())
	}
	return b
}
