package seal

import "sync/atomic"

// Verdict says what became of a packet that came in.
type Verdict uint8

// The verdicts. All but Accepted mean that the packet was dropped.
const (
	Accepted   Verdict = iota
	BadLength          // too short, too long, or not as long as it says
	BadVersion         // another version of the protocol, or garbage
	BadKind            // a kind of message that there is not
	Own                // our own packet came back
	NotForUs           // for another receiver
	UnknownKey         // sealed with a key that we do not have
	BadTag             // the header's tag is wrong: forged or damaged
	OverBudget         // its source sends more than it may
	Replayed           // seen before, or too old to tell
	OldRun             // from an earlier incarnation of its sender
	BadSeal            // the AEAD refused it
	BadBody            // authentic, and yet not a message
	BadRecord          // what it says of its sender is not signed by that
	NoPeer             // sealed pairwise by somebody that we know no record of
	Overflow           // good, and yet lost: this node is too busy
	verdicts
)

// Counters counts packets. Nothing is logged for each packet that is dropped,
// as whoever floods a node would then fill its disk. Safe for any goroutine.
type Counters struct {
	n    [verdicts]atomic.Uint64
	sent atomic.Uint64
}

// Add counts a verdict.
func (c *Counters) Add(v Verdict) { c.n[v].Add(1) }

// Sent counts a packet that was sent.
func (c *Counters) Sent() { c.sent.Add(1) }

// Snapshot reads all counters.
func (c *Counters) Snapshot() Counts {
	n := Counts{Sent: c.sent.Load()}
	for v := range c.n {
		n.By[v] = c.n[v].Load()
	}
	return n
}

// Counts is a reading of Counters: packets since the node's start.
type Counts struct {
	Sent uint64
	By   [verdicts]uint64 // packets that came in, by Verdict
}

// Dropped gives what was not accepted, by the verdict's name; verdicts that
// never fell are left out.
func (n *Counts) Dropped() map[string]uint64 {
	d := make(map[string]uint64)
	for v, count := range n.By {
		if Verdict(v) != Accepted && count > 0 {
			d[Verdict(v).String()] = count
		}
	}
	return d
}

var verdictNames = [verdicts]string{
	Accepted: "accepted", BadLength: "bad_length", BadVersion: "bad_version", BadKind: "bad_kind",
	Own: "own", NotForUs: "not_for_us", UnknownKey: "unknown_key", BadTag: "bad_tag",
	OverBudget: "over_budget", Replayed: "replayed", OldRun: "old_run", BadSeal: "bad_seal",
	BadBody: "bad_body", BadRecord: "bad_record", NoPeer: "no_peer", Overflow: "overflow",
}

// String gives the verdict's name.
func (v Verdict) String() string {
	if v < verdicts {
		return verdictNames[v]
	}
	return "unknown"
}
