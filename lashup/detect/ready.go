package detect

import (
	"math/rand/v2"
	"time"

	"fulcrum.example/crux"
)

// Why says what a check has found.
type Why uint8

// What may be found.
const (
	Alive      Why = iota + 1 // it answers
	Dead                      // host or process gone: nobody hears it, and its kernel does not accept
	Hung                      // nobody hears it, but its kernel accepts connections
	Asymmetric                // it does not answer this node, and is alive: others hear it, or it was heard here
	Unheard                   // this node is not answered by anybody: no word about the target
)

// String gives the name that people read.
func (w Why) String() string {
	switch w {
	case Alive:
		return "alive"
	case Dead:
		return "dead"
	case Hung:
		return "hung"
	case Asymmetric:
		return "asymmetric"
	case Unheard:
		return "unheard"
	}
	return "unknown"
}

// Outcome is what came of a probe: a TCP connect to a node's link address.
type Outcome uint8

// The outcomes.
const (
	Accepted Outcome = iota + 1 // the kernel completed the connection
	Refused                     // the kernel is there, and nobody listens
	Silent                      // no answer in time, or the host cannot be reached
)

// Config is what a Machine is made of. Rand and Witnesses are needed.
type Config struct {
	Self   crux.NodeID
	Rand   *rand.Rand // for jitter and for choices; no secret depends on it
	Params Params     // zero fields mean the default
	// Witnesses gives up to n nodes that could tell whether the target is alive,
	// the best first: the target's other neighbours, then others that this
	// node can reach. It is called while a check runs, and must not call the
	// machine.
	Witnesses func(target crux.NodeID, n int) []crux.NodeID
}

// Send is a message to send by datagram.
type Send struct {
	To  crux.NodeID
	Msg Message
}

// Verdict is what this node has found about a neighbour, or about one that was
// its neighbour when the check began.
type Verdict struct {
	Node crux.NodeID
	// Why is never the one given last for this check. Alive takes an earlier
	// verdict back.
	Why Why
	RTT time.Duration // of the latest answer; 0: none, ever
}

// Result answers Check.
type Result struct {
	Token uint64 // as given to Check
	Node  crux.NodeID
	State Why
	RTT   time.Duration // if Alive
	By    crux.NodeID   // if Asymmetric: a witness that hears the node; zero: this one did
}

// Ready is what a call asks of the driver. The slices are good until the next
// call of the machine.
type Ready struct {
	Sends []Send
	// Probes names nodes whose kernels are to be probed: a TCP connect to the
	// card's link address, given up after 100 ms and closed at once if it comes
	// through. The answer is Probed.
	Probes   []crux.NodeID
	Verdicts []Verdict
	Results  []Result
	// Isolated, if not nil, says that this node has begun, or ceased, to be cut
	// off from everybody it knows.
	Isolated *bool
}

// Stats counts what a machine did.
type Stats struct {
	Pings     uint64 // sent
	Misses    uint64 // pings of neighbours that were not answered in time
	Checks    uint64 // begun, for whatever reason
	Asked     uint64 // witnesses
	Witnessed uint64 // requests taken
	Limited   uint64 // requests refused by the rate limits
	Verdicts  uint64 // given, but for Alive
	Late      uint64 // times that this process was starved
}
