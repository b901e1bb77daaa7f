package store

import (
	"context"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/store/log"
)

// Write applies all of the writes or none, and returns once they are on disk: the
// version that a watch may resume from. For its errors see replica.Ack; also
// Exhausted when too many writes wait, and Unavailable while the store is being
// handed over. If ctx ends first, the writes may have been applied.
func (s *Store) Write(ctx context.Context, writes []replica.Write) (replica.Version, error) {
	const op = "write"
	if err := s.refusing(); err != nil {
		return replica.Version{}, crux.Wrap(op, err)
	}
	ack := make(chan replica.Ack, 1)
	if !s.inbox.write(pending{writes, ack}) {
		if err := s.refusing(); err != nil {
			return replica.Version{}, crux.Wrap(op, err)
		}
		return replica.Version{}, crux.Errorf(op, crux.Exhausted, "%d writes are waiting: try again when there are fewer", maxWrites)
	}
	select {
	case a := <-ack:
		return a.Version, a.Err
	case <-ctx.Done():
		return replica.Version{}, crux.Errorf(op, crux.KindOf(ctx.Err()), "it is not known to be on disk yet, and may be applied: %w", ctx.Err())
	}
}

// Received takes in a neighbour's message (fabric.SendTo). It does not block, and
// reads nothing of it; data is the store's from now on.
func (s *Store) Received(from crux.NodeID, data []byte) {
	s.inbox.deliver(mail{from: from, data: data})
}

// Delivered takes in what a member multicast. It does not block; payload is the
// store's from now on.
func (s *Store) Delivered(origin crux.NodeID, payload []byte) {
	s.inbox.deliver(mail{from: origin, data: payload, cast: true})
}

// Neighbours says whom Send reaches now.
func (s *Store) Neighbours(ctx context.Context, list []crux.NodeID) error {
	return s.do(ctx, func() { s.carryOut(s.rep.Neighbours(s.now(), list)) })
}

// Members says who the members are, and how they count.
func (s *Store) Members(ctx context.Context, list []replica.Member) error {
	return s.do(ctx, func() { s.carryOut(s.rep.Members(s.now(), list)) })
}

// Get reads a key; see replica.Get.
func (s *Store) Get(ctx context.Context, key []string) (replica.Item, error) {
	var x replica.Item
	var err error
	if derr := s.do(ctx, func() { x, err = s.rep.Get(key) }); derr != nil {
		return x, crux.Wrap("read", derr)
	}
	return x, crux.Wrap("read", err)
}

// scanPiece is how many keys Scan reads at a time, so that others get a turn.
const scanPiece = 256

// Scan calls f for the keys that p selects, in their order, until it says false. It
// is no snapshot: keys that change meanwhile may be given as they were or are.
func (s *Store) Scan(ctx context.Context, p replica.Pattern, f func(replica.Item) bool) error {
	const op = "scan"
	var after []string
	for more := true; more; {
		var list []replica.Item
		var err error
		if derr := s.do(ctx, func() { list, more, err = s.rep.Scan(p, after, scanPiece) }); derr != nil {
			return crux.Wrap(op, derr)
		}
		if err != nil {
			return crux.Wrap(op, err)
		}
		for i := range list {
			if !f(list[i]) {
				return nil
			}
			after = list[i].Key
		}
	}
	return nil
}

// Stats are figures of a store.
type Stats struct {
	replica.Stats
	Log  log.Stats
	Lost int64 // messages that were dropped here, in or out
}

// Stats gives the store's figures; those of the log are of its last sync.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	var x Stats
	err := s.do(ctx, func() { x.Stats = s.rep.Stats() })
	x.Lost = s.inbox.drops()
	s.mu.Lock()
	x.Log = s.figures
	s.mu.Unlock()
	return x, crux.Wrap("read figures", err)
}

// Hash is a hash of all durable keys and of what was received; stores that have
// the same are equal.
func (s *Store) Hash(ctx context.Context) (values, vector uint64, err error) {
	err = s.do(ctx, func() { values, vector = s.rep.Hash() })
	return values, vector, crux.Wrap("read hashes", err)
}
