package sim

import (
	"fmt"

	"fulcrum.example/crux"
	"fulcrum.example/flock"
)

// checker holds what was seen of every epoch, to find a second one of the name.
type checker struct {
	epochs  map[epochKey]epochSeen
	acting  map[crux.FlockID]*Node
	changes int // leaderships that passed from one node to another within a flock
	err     error
}

type epochKey struct {
	flock crux.FlockID
	epoch uint64
}

// epochSeen is what must be the same wherever an epoch is seen.
type epochSeen struct {
	leader crux.NodeID // zero: nobody has been seen leading it yet
	inc    uint64
	ballot uint64
	voters uint32
	hash   uint64
}

func newChecker() checker {
	return checker{epochs: map[epochKey]epochSeen{}, acting: map[crux.FlockID]*Node{}}
}

// step checks a node's state after a step.
func (c *checker) step(nd *Node, s *flock.Status) {
	if s.Role == 0 {
		return
	}
	if s.Acting {
		c.checkActing(nd, s)
	}
	l := &nd.last
	if s.Flock == l.Flock && s.Epoch == l.Epoch && s.Ballot == l.Ballot && s.Role == l.Role {
		return
	}
	k := epochKey{s.Flock, s.Epoch}
	now := epochSeen{ballot: s.Ballot, voters: s.Voters, hash: s.VotersHash}
	seen, ok := c.epochs[k]
	if ok && (seen.ballot != now.ballot || seen.voters != now.voters || seen.hash != now.hash) {
		c.fail(nd, "flock %s, epoch %d: voters %d/%x (ballot %d) here, %d/%x (ballot %d) elsewhere",
			s.Flock, s.Epoch, now.voters, now.hash, now.ballot, seen.voters, seen.hash, seen.ballot)
	}
	now.leader, now.inc = seen.leader, seen.inc
	if s.Role == flock.Leader {
		if !seen.leader.IsZero() && (seen.leader != nd.ID || seen.inc != nd.Inc) {
			c.fail(nd, "flock %s, epoch %d has two leaders: %s and %s", s.Flock, s.Epoch, seen.leader, nd.ID)
		}
		if seen.leader.IsZero() {
			before := c.epochs[epochKey{s.Flock, s.Epoch - 1}]
			if s.Epoch > 1 && before.leader != nd.ID {
				c.changes++
			}
		}
		now.leader, now.inc = nd.ID, nd.Inc
	}
	c.epochs[k] = now
}

// checkActing finds a second node that acts for the same flock at the same time.
func (c *checker) checkActing(nd *Node, s *flock.Status) {
	other := c.acting[s.Flock]
	if other == nd {
		return
	}
	if other != nil && other.M != nil && !other.Ended {
		o := &other.last
		if o.Role == flock.Leader && o.Flock == s.Flock && o.Lease > nd.World.Net.Now() {
			c.fail(nd, "flock %s: %s acts in epoch %d and %s in epoch %d", s.Flock, nd.ID, s.Epoch, other.ID, o.Epoch)
		}
	}
	c.acting[s.Flock] = nd
}

func (c *checker) fail(nd *Node, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("seed %d, at %v: "+format, append([]any{nd.World.seed, nd.World.Net.Now()}, args...)...)
	}
}
