// Package service is what a service routine in a process of its own stands on:
// it attaches to the node over a unix socket (protos/node) and makes of it the
// crux.Node that the routine is given.
//
//   - [Main] is the whole main function of an executable that picket runs.
//   - [MainLookup] is the same for a host that finds the function elsewhere, as
//     in a Go plugin.
//   - [Attach] is for a client that an operator starts: it attaches through the
//     node's fulcrum.sock under a name of its own.
//
// # The contract with picket
//
// FULCRUM_SOCKET holds the path of the unix socket. Descriptor 3 is a pipe from
// which the process reads its token (32 bytes, as 64 hex digits) to the end;
// every call on the socket carries it (metadata fulcrum-token). Attach's first
// message says who the process is and which function to run.
//
// # When the node goes away
//
// A routine outlives its node's fulcrum. What it serves goes on; look-ups give
// the last snapshot, marked as not whole; new handshakes wait, because only the
// node can sign. The socket is dialled again every 250 ms at the latest, and
// the last heartbeats are sent again at once. When the node stays away for
// longer than the lease, the routine is asked to quit, and the process ends.
//
// Exit status: 0 after an orderly end, 1 for a failure, 2 if the process was
// not started by a node; failures are one line on stderr.
//
// All methods of the node may be called from any goroutine.
package service
