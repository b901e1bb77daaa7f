// Package rpc serves and connects: one call makes a service routine a gRPC
// server that only its callers reach, one call gives a client an ordinary
// *grpc.ClientConn that follows the registry.
//
//   - [Serve] listens on the node, admits callers by their endpoint keys at the
//     handshake, adds gRPC health and reflection, beats on the alive channel,
//     and drains when quit is closed.
//   - [Connect] resolves a selector and moves to a better instance (a greater
//     version; the same node; the next replica) as the registry learns of one,
//     without failing a call in flight.
//   - [ListenPinned] and [DialPinned] are raw streams between two endpoints
//     that know each other, for fabrics that bring their own protocol.
//   - [ServeNodePort] and [DialNode] carry what nodes say to each other.
//
// # On the wire
//
// Every stream is TLS 1.3 between two endpoint keys (crux.Keys), without
// session tickets, with X25519MLKEM768 alone. The client checks the server's
// certificate before it shows its own. When the handshake is done, and so the
// possession of both keys is proved, the server says in the first bytes of the
// stream whether it admits the caller:
//
//	kind 1 (0: admitted; otherwise 1 + crux.Kind) | length 2 | text
//
// where the text is one sentence, empty when admitted. After that gRPC (ALPN
// "h2") or the pinned stream (ALPN "fulcrum-pinned") begins. A refusal thus
// reaches the caller in words, where a TLS alert would say "bad certificate".
//
// # Concurrency
//
// All exported functions and methods may be called from any goroutine. Whatever
// was started ends with Close, or with the quit channel, and is waited for.
//
// It takes the registry and the keys as crux interfaces and knows no component.
package rpc
