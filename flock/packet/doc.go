// Package packet is what the flock protocol looks like on the wire: which key
// seals which message, whose windows guard it from replays, and the codec of
// package flock's messages. The packets themselves are those of confab/seal.
// docs/protocol.md describes all of it field by field.
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
// Opener to the one that reads the socket. The Ring joins the two and is safe for
// any goroutine.
package packet
