// Package lashup is the event fabric as a service (Lashup1_0, API lashup1): it
// runs, in one process a node, the fabric (lashup/node: overlay, failure
// detector, routes, multicast) and the replicated store (lashup/store), serves
// them over gRPC (protos/lashup; crux/rpc/fabric is the client), and hands all
// of it to its successor when a newer version is started beside it.
//
// # What it guarantees
//
// A write is acknowledged once it is on this node's disk. A write that a client
// sends again, because its connection was lost, is applied once as long as this
// node's lashup was not started anew; it remembers what the client has no answer
// to, and hands that over. Keys in this node's own namespace are written by
// callers on this node only, whoever the bloc's rules let call from elsewhere.
//
// A handover holds up writes for some tens of milliseconds, and two microseconds
// more for each key: they are refused with a status that says when to ask again.
// Pings are answered throughout, and nothing that was acknowledged is lost. If the
// successor fails at any moment, the old process takes everything back. The
// protocol is described in handover.go.
//
// # Concurrency
//
// Handlers run in goroutines of gRPC's and talk to the goroutines that own the
// fabric and the store. One goroutine lives the life of the process (life.go):
// it acquires the node's fabric, owns it, hands it over, and stands by.
package lashup
