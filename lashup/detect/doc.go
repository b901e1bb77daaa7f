// Package detect is the failure detector: it says which of a node's neighbours
// have died, hang, or cannot be reached from here, within some 0.1 to 0.2 s of
// virtual time after they fell silent.
//
// A Machine is one node's detector. Its driver (lashup/fabric) feeds it the
// messages that came in by datagram, what happened to links, and the time, and
// carries out the Ready that each call returns: datagrams to send, kernels to
// probe, verdicts to act on. The machine does no I/O, starts no goroutine, and
// reads no clock and no global randomness. One goroutine owns it.
//
// # How it works
//
// Each neighbour is pinged after Params.Interval of silence; anything that is
// heard from it by datagram puts the next ping off, so a pair spends one ping
// and one ack an interval. The time that an answer may take follows from a
// history of round trips on a logarithmic scale (history.go).
//
// A missed answer begins a check (check.go): more pings, several in flight, so
// that one loss is not a death; a few milliseconds later up to three witnesses
// are asked to ping the target, and the kernel of its host is probed. A lost
// link and another neighbour's accusation begin a check without a miss. At the
// end of the check's window the evidence is weighed (weigh.go):
//
//   - the target answered: Alive, nothing happens;
//   - somebody else hears it, or it was heard here without answering:
//     Asymmetric, after some more patience;
//   - nobody who answered hears it: Hung if its kernel accepts connections, else
//     Dead;
//   - its kernel refuses connections: Dead, at once;
//   - nobody answers this node at all: it doubts itself, pings all its
//     neighbours, and reports that it is Isolated when that does not help. Then
//     it gives its neighbours up as Unheard, which accuses nobody.
//
// A verdict is revised when other evidence comes within the next two seconds.
//
// # Doubt of itself
//
// A call that comes later than the machine asked for says that this process is
// starved: what was missed meanwhile proves nothing. Checks begin anew, and a
// local health score stretches timeouts until answers come in time again
// (Lifeguard: Dadgar, Phillips, Currey, 2017). A witness in that state keeps its
// bad news to itself.
//
// # What it guarantees
//
// Nobody is called Dead or Hung who was heard since the check began, by this node
// or by a witness that answered; nor by a node that nobody answers (but for a
// kernel's refusal, and for a group of two). Several verdicts of one node prove
// nothing to others: lashup/route removes a node only when no reachable one
// vouches for it.
//
// A check ends in bounded time, and Check is answered within Params.Bound. All
// tables are bounded. One request makes this node send at most three pings to its
// target, however many ask at a time (unless it is a neighbour that does not
// answer), and requests are limited by sender and in all. No message, from
// anyone, makes the machine panic.
package detect
