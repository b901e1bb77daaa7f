// Package packet is what the flock protocol looks like on the wire: the header,
// the sealing, the keys and their derivation, replay windows, and the codec of
// package flock's messages. docs/protocol.md describes all of it field by field.
//
// # Guarantees
//
//   - Nothing of a packet is decoded before it is authenticated; the order of
//     checks is header, key, header tag, budget, window, AEAD, body.
//   - No key is ever used twice with one nonce: keys differ by sender, and each
//     process counts up from zero in an incarnation of its own.
//   - No bytes, from anyone, cause a panic or more than a bounded cost in memory.
//   - A body reads back as exactly the message that was written; padding that is
//     not zero, counts that the rest cannot hold, and anything left over are
//     refused.
//
// # Concurrency
//
// A Sealer and a Pairs belong to the goroutine that drives the flock machine, an
// Opener to the one that reads the socket. Ring and Counters join the two and
// are safe for any goroutine.
package packet
