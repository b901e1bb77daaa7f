package packet

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
	BadRecord          // a record in it is not signed by its subject, or not the sender's
	NoPeer             // sealed pairwise by somebody that we know no record of
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

// Snapshot reads all counters.
func (c *Counters) Snapshot() Counts {
	g := func(v Verdict) uint64 { return c.n[v].Load() }
	return Counts{
		Sent: c.sent.Load(), Accepted: g(Accepted),
		BadLength: g(BadLength), BadVersion: g(BadVersion), BadKind: g(BadKind),
		Own: g(Own), NotForUs: g(NotForUs), UnknownKey: g(UnknownKey), BadTag: g(BadTag),
		OverBudget: g(OverBudget), Replayed: g(Replayed), OldRun: g(OldRun),
		BadSeal: g(BadSeal), BadBody: g(BadBody), BadRecord: g(BadRecord), NoPeer: g(NoPeer),
	}
}

// Counts is a reading of Counters: packets since the node's start.
type Counts struct {
	Sent       uint64 `json:"sent"`
	Accepted   uint64 `json:"accepted"`
	BadLength  uint64 `json:"bad_length"`
	BadVersion uint64 `json:"bad_version"`
	BadKind    uint64 `json:"bad_kind"`
	Own        uint64 `json:"own"`
	NotForUs   uint64 `json:"not_for_us"`
	UnknownKey uint64 `json:"unknown_key"`
	BadTag     uint64 `json:"bad_tag"`
	OverBudget uint64 `json:"over_budget"`
	Replayed   uint64 `json:"replayed"`
	OldRun     uint64 `json:"old_run"`
	BadSeal    uint64 `json:"bad_seal"`
	BadBody    uint64 `json:"bad_body"`
	BadRecord  uint64 `json:"bad_record"`
	NoPeer     uint64 `json:"no_peer"`
}
