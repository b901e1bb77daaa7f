package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// Scratch is the working memory of sealing and opening, so that neither
// allocates. One goroutine owns it; the zero value is ready.
type Scratch struct {
	block [aes.BlockSize]byte
	nonce [12]byte
}

// Tag makes the tag of a packet's header; the slice is good until the next call.
//
// It is the first 8 bytes of AES-CBC-MAC under the key's own tag key. CBC-MAC is
// a pseudo-random function over messages of one fixed length, which a header is
// (44 bytes, and 4 zeros to fill three blocks). It is taken rather than a keyed
// hash because it costs three AES operations, some 30 ns, and no memory: it is
// what a flood makes us compute.
func (s *Scratch) Tag(k *Key, p []byte) []byte {
	clear(s.block[:])
	for i := 0; i < headerSize; i += aes.BlockSize {
		end := min(i+aes.BlockSize, headerSize)
		subtle.XORBytes(s.block[:], s.block[:], p[i:end])
		k.mac.Encrypt(s.block[:], s.block[:])
	}
	return s.block[:tagSize]
}

// Check says whether a packet's header tag is right.
func (s *Scratch) Check(k *Key, p []byte) bool {
	return subtle.ConstantTimeCompare(s.Tag(k, p), p[headerSize:Headroom]) == 1
}

// counter writes the AEAD's nonce for a counter: its last 8 bytes.
func (s *Scratch) counter(n uint64) []byte {
	binary.BigEndian.PutUint64(s.nonce[4:], n)
	return s.nonce[:]
}

// Seal makes a packet of p, whose first Headroom bytes are free and whose rest is
// the body: it is encrypted in place and grows by Tail. a is the sender's AEAD of
// k, and the header's Counter one that it was never given before.
func Seal[K ~uint8](s *Scratch, p []byte, h *Header[K], k *Key, a cipher.AEAD) []byte {
	whole := len(p) + Tail
	if cap(p) < whole {
		p = append(make([]byte, 0, whole), p...)
	}
	h.put(p[:whole])
	copy(p[headerSize:Headroom], s.Tag(k, p))
	return a.Seal(p[:Headroom], s.counter(h.Counter), p[Headroom:], p[:Headroom])
}

// Open decrypts a packet in place, after Parse and Check. a is the AEAD of the
// header's sender.
func (s *Scratch) Open(a cipher.AEAD, counter uint64, p []byte) (body []byte, ok bool) {
	body, err := a.Open(p[Headroom:Headroom], s.counter(counter), p[Headroom:], p[:Headroom])
	return body, err == nil
}
