// Package socket is the node's side of protos/node: what a service routine in a
// process of its own, or a client that an operator started, asks of the node
// that it runs on. The other side is crux/rpc/service.
//
// A child of picket has a unix socket of its own (Serve): mode 0600 in a folder
// of mode 0700, the kernel's word that the peer is our own user (SO_PEERCRED),
// and a token that every call carries (metadata fulcrum-token), compared in
// constant time. Clients share the node's socket (Register) and name themselves
// there (metadata fulcrum-caller): anybody who can open that socket is this
// user, so the name keeps honest programs apart and is no proof. They may not
// take the node's own name or one that could be a service's. Services of this
// node are refused there ([NewServer]), whatever they call themselves.
//
// Private keys never cross a socket: Credential gives a certificate and a
// handle, SignHandshake signs with it.
//
// All functions and methods may be called from any goroutine. Handlers convert
// errors to gRPC codes and survive panics through the interceptors of NewServer.
package socket
