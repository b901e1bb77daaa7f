package flock

import "time"

// Times of the protocol. Those that depend on the size of the flock are
// functions of it, so that the leader's traffic stays bounded (about 2,000 beats
// a second at any size).
const (
	beatMin  = 500 * time.Millisecond
	beatStep = 500 * time.Microsecond // of beat interval for each member
	beatFast = 150 * time.Millisecond // to a member that has missed one

	epochLife   = 45 * time.Second
	prepareAt   = 30 * time.Second // of an epoch's life: announce the next key
	keyLinger   = 45 * time.Second // a key is good for so long after its epoch
	calmDown    = 250 * time.Millisecond
	calmDownMax = time.Second // changes wait no longer than this for a new epoch
	proposeLate = 80 * time.Millisecond
	tellAgain   = 200 * time.Millisecond // of an epoch, to who has not answered
	proposeOver = 2 * time.Second

	campaignEvery = 150 * time.Millisecond // between rounds of pre-votes
	campaignOver  = 450 * time.Millisecond // for the votes of a proposal
	lateness      = 100 * time.Millisecond // of a timer: the node is starved
	standDelay    = 15 * time.Millisecond  // for the answers after the majority's
	rankStep      = 40 * time.Millisecond  // between candidates
	rankMax       = 20
	regroupAfter  = 2 * time.Second // of not reaching a majority
	aloneAfter    = 5 * time.Second // of hearing no leader while others do

	removeAfter = 60 * time.Second // of being Lost

	pushDelay  = 20 * time.Millisecond // the leader gathers changes for so long
	pullGap    = 40 * time.Millisecond // packets overtake one another: wait so long
	pullRetry  = 60 * time.Millisecond
	pullActive = 200 * time.Millisecond // between pulls while the list is changing
	activeFor  = 2 * time.Second
	pullPages  = 64 // pages in answer to one pull
	pullChunk  = 96 // versions in one pull while much is missing: some 16 pages
	pullWidth  = 8  // pulls at a time

	joinRetry   = 80 * time.Millisecond
	joinTries   = 6
	busyRetry   = 150 * time.Millisecond
	mergeOver   = 3 * time.Second
	moveOver    = 600 * time.Millisecond
	moveRetry   = 150 * time.Millisecond
	pendingFor  = 3 * time.Second
	badFor      = 500 * time.Millisecond
	badForget   = 15 * time.Second
	refusedFor  = 15 * time.Second
	exploreFor  = 250 * time.Millisecond
	freshFor    = 3 * time.Second // a flock probes faster after a change
	previousFor = 10 * time.Second
	hintFor     = time.Minute
	leaveRetry  = 50 * time.Millisecond
)

// Bounds of tables.
const (
	maxPending = 4096
	maxBad     = 64
	maxHints   = 16
	maxFormer  = 64
	maxPropose = 4 // proposals seen for the next epoch
	maxTells   = 5
	maxDoubts  = 5
	maxMembers = 1 << 15
	maxTombs   = 4096 // lines of nodes that are gone
	sample     = 24   // members in a proof of size
)

// beatEvery is the time between two beats to one member.
func beatEvery(members int) time.Duration {
	return max(beatMin, time.Duration(members)*beatStep)
}

// promise is how long after a beat a member votes for nobody else.
func promise(members int) time.Duration { return beatEvery(members) * 21 / 10 }

// lease is how long after it was sent a beat that was answered makes its leader
// sure of that member. It is shorter than promise even where clocks differ by a
// tenth in speed.
func lease(members int) time.Duration { return promise(members) * 85 / 100 }

// silence is how long after a beat the first candidate stands.
func silence(members int) time.Duration { return beatEvery(members) * 23 / 10 }

// suspectAfter and lostAfter are the times without an answer after which a
// member is no longer Alive.
func suspectAfter(members int) time.Duration { return 3 * beatEvery(members) }
func lostAfter(members int) time.Duration    { return 8 * beatEvery(members) }
