// Package seal is what the sealed datagrams of fulcrum's protocols have in
// common: the header with its tag, keys and their derivation, the AEAD, replay
// windows, budgets of sources, and the counters of what became of packets.
// Package flock/packet and package lashup/packet stand on it; each says which
// kinds of messages there are, which key seals them, and who may open what.
//
//	 0  version 1 | kind 1 | length 2 | key id 8
//	12  sender 8 | incarnation 8 | counter 8
//	36  receiver 8
//	44  header tag 8
//	52  body, encrypted with AES-256-GCM, and its tag 16
//
// All integers are big-endian. docs/protocol.md says what each field is for.
//
// # Guarantees
//
//   - A key that HKDF gives for other fields, or for the same bytes divided
//     otherwise, is another key: every field is derived with its length.
//   - The header tag is checked before anything else of a packet that needs a
//     key, for some 0.1 µs and without memory.
//   - Every bit of a packet is authenticated: the header and its tag are the
//     AEAD's additional data.
//   - No bytes, from anyone, cause a panic.
//
// That a key never meets a nonce twice is up to whoever counts: see Seal.
//
// # Concurrency
//
// Keys, AEADs and Counters may be used from any goroutine; a Scratch, a Window,
// a Bucket and a Budget have one owner at a time.
package seal
