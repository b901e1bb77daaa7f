// Package packet is what two lashup processes say to each other looks like on
// the wire: sealed datagrams, and frames on links.
//
// # Datagrams
//
// A datagram is a packet of confab/seal; the incarnation in its header is the
// epoch of the sender's card, the receiver is always named. There are three
// kinds.
//
//	kind      sealed under                   body
//	1 Ask     Hello key                      nonce 16, card, zeros: 344 bytes
//	2 Answer  Hello key                      nonce 16, card, zeros: 344 bytes
//	3 Word    the pair's key, by direction   one message of lashup/fabric
//
// The pair's key for what goes from A to B:
//
//	seal.NewKey(X25519(A's exchange key, B's), "fulcrum lashup pair v1",
//	    bloc, flock name, A, A's epoch, A's exchange key, B, B's epoch, B's exchange key)
//
// The exchange keys are those in the two cards, which the node keys have signed,
// so only these two processes have it. A ping is 9 bytes in a packet of 77: 105
// bytes with the headers of UDP and IPv4, 125 with IPv6's.
//
// An Ask is how a process that knows no more of another than whose it is and
// where it listens gets its card, and gives its own; the nonce ties the Answer to
// the Ask. A lashup process has no secret of the bloc, so the Hello key is made
// of the bloc's and the flock's name alone: it keeps blocs apart and garbage out,
// and is no proof of anything. The proof is the card's signature. An Answer is as
// long as its Ask, and goes to where that came from.
//
// # Links
//
// A link is a pinned stream (crux/rpc): TLS says who is at the other end. On it
// travel frames: a length (4 bytes, big-endian, 1 to MaxFrame) and so many bytes.
// The first frame of each side is its card; the second says what it makes of the
// other's: one byte, 1, or the newer card of the other's node that it knows. Each
// further one is a message.
//
// # Guarantees
//
// The order of checks is header, key, header tag, budget of the source, window,
// AEAD; nothing is decoded before. No key meets a nonce twice: a process counts
// all packets that it seals, and one that takes over in the same epoch goes on
// beyond a gap. Nothing that comes from who holds no pairwise key allocates
// memory that stays; deriving keys and verifying cards on behalf of strangers is
// bounded by rate. No bytes, from anyone, cause a panic.
//
// A replayed Ask has its answer sent once more to where it came from, and no
// other effect: what a card says is old or known. Words are opened once.
//
// # Concurrency
//
// Pairs and Queue may be used from any goroutine.
package packet
