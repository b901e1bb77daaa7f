package store

import (
	"context"
	"errors"

	"fulcrum.example/crux"
)

// frozen is what Freeze waits for.
type frozen struct {
	state []byte
	err   error
}

// Announce refuses writes from now on, with a reason of kind Unavailable that
// says when to try again. Those that were taken before go on.
func (s *Store) Announce(why error) { s.refuse(why) }

// Freeze ends the store so that another process can go on with it: it refuses new
// writes, waits until all that was taken is acknowledged and everything is on
// disk, lets go of the folder, and gives what the successor's Open takes as Resume.
// Whatever arrives meanwhile is left for the successor to fetch. After an error
// the store is as it was, but for Announce's refusal, unless it says that it is
// closed.
func (s *Store) Freeze(ctx context.Context) ([]byte, error) {
	const op = "hand the store over"
	s.refuse(crux.Errorf("", crux.Unavailable, "the store passes to a new process: try again at once"))
	got := make(chan frozen, 1)
	if err := s.do(ctx, func() { s.freezing = got }); err != nil {
		return nil, crux.Wrap(op, err)
	}
	select {
	case <-s.stopped.Done(): // by tryFreeze, or by Close
	case <-ctx.Done():
		late := s.do(context.WithoutCancel(ctx), func() { s.freezing = nil })
		if late == nil {
			return nil, crux.Errorf(op, crux.Timeout, "the disk does not take what is written: %w", ctx.Err())
		}
	}
	s.end()
	select {
	case f := <-got:
		return f.state, crux.Wrap(op, errors.Join(f.err, s.leave()))
	default:
		return nil, crux.Wrap(op, s.over())
	}
}

// tryFreeze gives the state once nothing is under way; true: nothing is to change it
// any more.
func (s *Store) tryFreeze() bool {
	if s.freezing == nil || len(s.waiting) > 0 || s.unsaved > 0 || s.inbox.waiting() > 0 {
		return false
	}
	state, err := s.rep.Export(s.now())
	if crux.KindOf(err) == crux.Unavailable {
		return false // the disk has failed, and may recover
	}
	s.freezing <- frozen{state, err}
	s.freezing = nil
	s.stop()
	return true
}

// Thaw lets writes in again after an Announce that came to nothing.
func (s *Store) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped.Err() == nil {
		s.ending = nil
	}
}
