package flock

import (
	"net/netip"

	"fulcrum.example/crux"
)

// Sealing says under which key a message travels.
type Sealing uint8

// The sealings.
const (
	// Discovery: the bloc's secondary key. Proves nothing about the sender but
	// that it holds the bloc's secret; the receiver in the header may be zero.
	Discovery Sealing = iota + 1
	// Group: the transient key of the flock's epoch. The sender is some member.
	Group
	// Pair: the key that only sender and receiver have. The sender is who the
	// header says, of that incarnation. Who seals or opens finds the other's
	// record by Machine.Peer, and drops the packet when there is none or its
	// incarnation is not the header's.
	Pair
)

// Kind is a message's type on the wire.
type Kind uint8

// The kinds of messages.
const (
	KindHello Kind = iota + 1
	KindJoin
	KindOffer
	KindAccept
	KindGrant
	KindProofAsk
	KindProof
	KindMove
	KindFound
	KindBeat
	KindAck
	KindEpoch
	KindVote
	KindPreVote
	KindPreVoteReply
	KindRelease
	KindStale
	KindLeave
	KindDismiss
	KindPull
	KindPage
	kinds // one more than the last
)

// Limits of the wire.
const (
	MaxPacket = 1232                 // UDP payload: what IPv6 always carries
	Overhead  = 52 + 16              // header with its tag, and the AEAD's tag
	MaxBody   = MaxPacket - Overhead // 1164
	HelloSize = JoinSize             // every Hello is padded to this: a Join may be the answer
	// JoinSize is what every Join is padded to. It is more than the longest
	// Offer, so that an answer is never longer than the question.
	JoinSize = maxRecord + 16 + 8 + 1 + maxSummary
)

const (
	maxAddr    = 19
	maxRecord  = 32 + maxAddr + 8 + 8 + 32 + 16 + 8 + 64
	maxSummary = 16 + 8 + 8 + maxAddr + 4 + 8 + 8 + 1
)

// Message is what travels between machines. Messages are immutable once sent:
// in the simulator sender and receivers share them.
//
// Size is the exact length in bytes of the body on the wire, padding included.
// Integers are big-endian and of their Go width, bools and small enums one
// byte, IDs, keys, secrets and hashes raw, addresses as in Record, and slices
// carry a two-byte count; fields travel in the order of the struct. Padding is
// zeros at the end; a decoder must refuse other bytes there, counts that the
// rest cannot hold, and rests.
//
// Before the driver hands over a message it has verified the signature of every
// Record in it, and dropped the message if one is wrong.
type Message interface {
	Kind() Kind
	Sealing() Sealing
	Size() int
}

// Bloc is what two nodes must agree on to be in one flock: the version and hash
// of the bloc file, and whether enrolment is open. Without a file the version
// and the hash are zero.
type Bloc struct {
	Version uint64
	Hash    [8]byte // the first bytes of the file's SHA-256
	Open    bool
}

// Summary says of a flock what others need to compare it and to find its
// leader. It is a claim: nobody has proved it.
//
// 16+8+8+addr+4+8+8+1 bytes; at most maxSummary.
type Summary struct {
	Flock  crux.FlockID
	Epoch  uint64
	Leader crux.NodeID // zero: it has none now, nobody can join it
	Addr   netip.AddrPort
	Size   uint32 // members that are not Lost
	Bloc   Bloc
}

func (s *Summary) size() int { return 16 + 8 + 8 + addrSize(s.Addr) + 4 + 8 + 8 + 1 }

// Hello probes a candidate address or answers such a probe. Discovery, receiver
// 0 for a probe and the prober's ID for a reply. Padded to HelloSize, so that a
// reply is as long as what it answers.
type Hello struct {
	Reply bool
	Own   Summary // the sender's flock
	Best  Summary // the best flock the sender has heard of; Flock zero for none
}

// Join asks the leader of a flock for an Offer. Discovery; the receiver is the
// leader, or 0 when only its address is known. Padded to JoinSize: an Offer is
// never longer.
type Join struct {
	Record *Record      // of the sender
	Want   crux.FlockID // what the sender has heard is there; informs only
	Nonce  uint64       // names this attempt; the Offer and the Grant repeat it
	Merge  bool         // the sender leads a flock of several and wants to merge it
	Own    Summary
}

// OfferCode is the answer to a Join.
type OfferCode uint8

// The codes of an Offer.
const (
	OfferOK        OfferCode = iota + 1
	OfferRedirect            // not here: go to Flock's leader
	OfferBusy                // try again soon
	OfferUnlisted            // your key is not in the bloc file
	OfferBloc                // your bloc file is not ours; Flock.Bloc says which we have
	OfferEvicted             // an operator removed you
	OfferPastLimit           // the flock is as large as it may be
)

// Offer answers a Join. Discovery; receiver = the joiner.
type Offer struct {
	Record *Record // of the sender: the leader, where Code is OfferOK
	Nonce  uint64
	Code   OfferCode
	Flock  Summary // the sender's flock, or for OfferRedirect the better one
}

// Accept takes an Offer. Pair.
type Accept struct {
	Record *Record // of the sender, whose Flock is the one it joins
	Nonce  uint64
}

// Grant makes the receiver a member. Pair.
type Grant struct {
	Nonce   uint64
	Epoch   EpochInfo
	Members uint32      // how many, the receiver among them
	List    ListInfo    // what to catch up with
	Slot    uint32      // the receiver's place in the tree
	Source  crux.NodeID // a member to pull the list from
	Addr    netip.AddrPort
}

// EpochInfo is an epoch as one member is told of it: everything but the flag is
// the same for all.
//
// 16+8+8+32+4+8+1 = 77 bytes.
type EpochInfo struct {
	Flock  crux.FlockID
	Epoch  uint64
	Ballot uint64   // the proposal of its leader that began it
	Secret [32]byte // the transient key
	Voters uint32   // how many voters it has
	Hash   uint64   // over its voters
	Voter  bool     // the receiver is one of them
}

const epochInfoSize = 77

// ListInfo names a state of the list of members: two nodes with equal ListInfo
// have the same list. 16 bytes.
type ListInfo struct {
	Version uint64 // epoch in the upper 32 bits, counter in the lower
	Hash    uint64
}

// ProofAsk asks the leader of a better flock to prove its size: it must show the
// Sample members whose keys, hashed with Seed, are the least. Pair. Padded to
// MaxBody, because the answer may be as long.
type ProofAsk struct {
	Flock crux.FlockID
	Seed  uint64
	Page  uint16
}

// Proof is one page of the answer: records signed by members, naming the flock.
// Pair.
type Proof struct {
	Flock   Summary
	Seed    uint64
	Page    uint16
	Pages   uint16
	Records []*Record
}

// Move tells a member to join another flock: its own is going there, or, where
// the flock has lost its majority, the sender has founded a new one. Pair.
type Move struct {
	From crux.FlockID
	To   Summary
}

// Found tells the leader of a better flock that the sender has heard of. Pair.
type Found struct {
	Flock crux.FlockID // the receiver's
	Other Summary
}

// Beat is the leader's sign of life to one member. Pair.
type Beat struct {
	Flock   crux.FlockID
	Epoch   uint64
	Ballot  uint64
	Sent    uint64 // repeated by the Ack
	Members uint32 // how many
	List    ListInfo
	State   crux.MemberState // what the leader thinks of the receiver
	Moving  bool             // the flock is merging into another
}

// Ack answers a Beat, or the word that an epoch has begun. Pair.
type Ack struct {
	Flock crux.FlockID
	Epoch uint64 // the epoch that the sender is in
	Sent  uint64 // of the Beat; 0 for an epoch, and to say: alive, but the leader may not count on the sender's vote
	List  uint64 // the version up to which the sender's list is whole
}

// Phase says what an Epoch message asks for.
type Phase uint8

// The phases of an epoch.
const (
	Prepare Phase = iota + 1 // keep this key: it will be the next
	Propose                  // vote for this epoch
	Commit                   // the epoch has begun; also tells a member that missed it
)

// Epoch announces an epoch of the sender's. Pair.
type Epoch struct {
	Phase Phase
	Info  EpochInfo
}

// VoteCode is the answer to a proposal.
type VoteCode uint8

// The codes of a Vote and of a PreVoteReply.
const (
	VoteYes     VoteCode = iota + 1
	VoteNot              // the sender is not a voter: its yes would not count
	VoteLeader           // the sender hears its leader
	VoteTaken            // the sender has given its vote to another
	VoteBehind           // the candidate's list is older than the sender's
	VoteUnknown          // the sender is not in that epoch
)

// Vote answers an Epoch in phase Propose. Pair.
type Vote struct {
	Flock  crux.FlockID
	Epoch  uint64
	Ballot uint64
	Code   VoteCode
}

// PreVote asks whether the receiver would vote for the sender. Pair.
type PreVote struct {
	Flock crux.FlockID
	Epoch uint64 // the epoch that would begin
	Round uint64
	List  uint64 // the version up to which the sender's list is whole
}

// PreVoteReply answers a PreVote; it binds nobody. Pair.
type PreVoteReply struct {
	Flock crux.FlockID
	Epoch uint64
	Round uint64
	Code  VoteCode
}

// Release gives votes back: the sender will never use this ballot. Pair.
type Release struct {
	Flock  crux.FlockID
	Epoch  uint64
	Ballot uint64
}

// Stale tells a node that speaks for an old epoch, or for a flock that the
// sender has left, where the sender is now. Pair.
type Stale struct {
	Flock crux.FlockID // of the message that it answers
	Epoch uint64
	Now   Summary
}

// Leave tells the leader that the sender is no longer a member. Pair.
type Leave struct {
	Flock crux.FlockID
}

// Dismiss tells a node that it is not a member (any more). Pair.
type Dismiss struct {
	Flock crux.FlockID
	Code  OfferCode
}

// Pull asks a member for the part of the list whose versions are in (From, To].
// Group; receiver = that member.
type Pull struct {
	Flock    crux.FlockID
	From, To uint64
}

// Page is a part of the list: all entries that the sender has whose versions are
// in (From, To]. Group; receiver = the member that it goes to.
type Page struct {
	Flock    crux.FlockID
	From, To uint64
	Entries  []*Entry
}

// Entry is one line of the list of members. Immutable and shared.
//
// On the wire: Version 8, Slot 4, State 1, and the Record without its Flock.
type Entry struct {
	Version uint64 // of the list when the line was last changed
	Slot    uint32 // place in the tree over which the list spreads
	State   crux.MemberState
	Record  *Record // its Flock is the page's
}

// Gone is the state of an entry that says that a node is a member no longer.
const Gone crux.MemberState = 0xff

// Size is the length of the entry on the wire, in bytes.
func (e *Entry) Size() int { return 8 + 4 + 1 + e.Record.Size() - 16 }
