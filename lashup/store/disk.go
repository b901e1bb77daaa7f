package store

import (
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
)

// persisted says what became of all batches up to one.
type persisted struct {
	batch   uint64
	batches int // how many there were since the one before
	err     error
}

// write is the goroutine that owns the disk: what has come together is synced
// together (group commit).
func (s *Store) write() {
	failing := false
	for {
		batch, list, ok := s.outbox.take()
		if !ok {
			return
		}
		err := s.sync(list)
		if (err != nil) != failing {
			failing = err != nil
			s.tellDisk(err)
		}
		select {
		case s.persisted <- persisted{batch, len(list), err}:
		case <-s.stopped.Done():
			return
		}
	}
}

func (s *Store) sync(list [][]replica.Entry) error {
	for _, entries := range list {
		if err := s.cfg.Disk.Append(entries); err != nil {
			return err
		}
	}
	return s.cfg.Disk.Sync()
}

// tellDisk logs that the disk began to fail, or works again: not every failure.
func (s *Store) tellDisk(err error) {
	if err == nil {
		s.cfg.Log.Info("the disk takes writes again")
		return
	}
	s.cfg.Log.Error("the disk does not take what is written: writes are refused until it does, reads and replication go on", "why", err)
}

// alarm is the loop's one timer.
type alarm struct {
	c     <-chan time.Time
	until time.Duration
}

// set makes the alarm ring at a time of the replica's.
func (a *alarm) set(c crux.Clock, until, now time.Duration) {
	if a.c != nil && until == a.until {
		return
	}
	a.until = until
	a.c = c.After(max(until-now, 0))
}

func (a *alarm) rang() { a.c = nil }

func (a *alarm) stop() { a.c = nil }
