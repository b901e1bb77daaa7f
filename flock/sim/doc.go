// Package sim runs many flock machines on a simulated network (confab/sim) in
// virtual time, and checks after every step what flock promises. It is behind
// `fulcrum sim flock`, and under flock's tests.
//
// Machines exchange decoded messages with the exact sizes that they would have
// on the wire: UDP and IPv4 headers, packet header, tags and signatures. Keys
// are treated as in the driver: a Pair message is lost where one side does not
// know the other's record, a Group message where the receiver does not hold the
// sender's key; only the arithmetic of sealing and signing is left out.
//
// One thread; the same options give the same trace.
//
// The tests take two flags: -seeds N runs each of them over the seeds 1 to N
// (without it a few), and -large adds those with a thousand nodes and more, and
// those that go on for days of virtual time. A test that fails names its seed.
package sim
