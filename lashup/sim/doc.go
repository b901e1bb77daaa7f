// Package sim runs thousands of fabrics, and the replicas over them, on a
// simulated network (confab/sim) in virtual time. It is behind `fulcrum sim
// fabric`, and under the fabric's tests: scenario files (Script) state what must
// hold, and checks after each step hold the fabric to its invariants.
//
// Fabrics exchange decoded messages, shared by pointer, with the exact sizes
// that they would have on the wire: pings as sealed datagrams with UDP and IPv4
// headers, all else as TLS records on simulated TCP streams with their
// handshakes and acknowledgements. Only the arithmetic of sealing and signing is
// left out. What a node's driver would do (sockets, duplicates of a link, files)
// is done here by Node.
//
// One thread; the same options give the same trace.
//
// The tests take two flags: -seeds N runs each of them over the seeds 1 to N
// (without it a few), and -large adds those with a thousand nodes and more, and
// those that go on for an hour of virtual time. A test that fails names its
// seed.
package sim
