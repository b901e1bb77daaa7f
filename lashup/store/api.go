package store

import (
	"context"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
	"fulcrum.example/lashup/replica"
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

// Received takes in a neighbour's message (fabric.SendTo). It does not block.
func (s *Store) Received(from crux.NodeID, data []byte) {
	m, err := replica.Decode(data)
	if err != nil {
		s.inbox.lost()
		return
	}
	s.inbox.deliver(mail{from: from, message: m}, len(data))
}

// Delivered takes in what a member multicast. It does not block; payload is the
// store's from now on.
func (s *Store) Delivered(origin crux.NodeID, payload []byte) {
	s.inbox.deliver(mail{from: origin, payload: payload}, len(payload))
}

// Neighbours says whom Send reaches now.
func (s *Store) Neighbours(ctx context.Context, list []crux.NodeID) error {
	return s.do(ctx, func() { s.carryOut(s.rep.Neighbours(s.now(), list)) })
}

// Members says who the members are, and how they count.
func (s *Store) Members(ctx context.Context, list []replica.Member) error {
	return s.do(ctx, func() { s.carryOut(s.rep.Members(s.now(), list)) })
}
