// Package keys makes and checks endpoint identities: it is the crux.Keys of a
// node.
//
// An endpoint key is an Ed25519 key that is unique to (originating node,
// calling service, destination endpoint). It is derived on the node, by HKDF
// from a seed that itself derives from the node key, and never leaves the
// process: whoever is given a Credential gets a Signer, not bytes. The public
// half sits in a self-signed X.509 certificate (Go's TLS has no raw public
// keys) beside a binding: who calls whom, signed by the node key. See
// binding.go for the encoding.
//
// Guarantees:
//   - A server admits an enrolled node with a correct binding and a matching
//     rule from what this node knows by itself; it never waits for the
//     registry.
//   - A signer signs nothing but TLS 1.3 handshakes of its own side, and stops
//     signing as soon as its generation is revoked.
//   - What is kept (certificates, checked bindings, handles) is bounded.
//
// A Ring belongs to the node: the composition makes one and gives each service
// the Keys of its name. All methods may be called from any goroutine.
package keys
