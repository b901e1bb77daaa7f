// Package sim is a network in virtual time: one thread, a heap of events, a
// seed. Nodes are call-backs; packets are whatever type the protocol under test
// sends, with the size that they would have on the wire.
//
// It loses and delays packets, partitions the net, cuts links one way, and
// crashes, kills, restarts and suspends nodes. Everything that happens follows
// from the seed and from the calls that the user makes: two runs that make the
// same calls have the same Trace.
//
// Delays are drawn anew for each packet, so packets overtake one another. A
// packet meets its loss, partition or cut when it is sent, and a crash when it
// arrives. A suspended node (SIGSTOP) sends nothing; its packets and its timer
// wait and are delivered, in order, when it resumes.
//
// Beside packets there are streams (Node.Dial), for handlers that are Streamers:
// a model of TCP that keeps what a protocol notices of it. What was lost arrives
// late and holds up the rest; a process's end is seen by its peers, a host's is
// not. Windows and congestion are left out.
//
// Nothing in here may be called from two goroutines at a time; call-backs may
// call anything but Step and the Run methods.
package sim
