// Package udp is the real crux.Confab: datagrams over UDP and streams over TCP,
// IPv4 and IPv6, on one given address.
//
// # Guarantees
//
//   - A packet that does not fit the reader's buffer is dropped and counted,
//     never handed over truncated.
//   - What the network says of a destination (refused, unreachable, no buffer)
//     is the loss of one packet, not an error of the socket.
//   - Candidate addresses are computed, not stored; equal configurations give
//     the same ones in the same order.
//
// A Confab is safe for any goroutine. A datagram socket has one reader at a
// time and any number of writers.
package udp
