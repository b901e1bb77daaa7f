package store

import (
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/store/log"
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
		if err == nil {
			s.clean()
			s.note()
		} else {
			s.outbox.fail()
		}
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
	if err := s.disk.Recover(); err != nil { // of a failure before, if there was one
		return err
	}
	for _, entries := range list {
		for len(entries) > 0 {
			n := fitting(entries)
			if err := s.disk.Append(lines(entries[:n])); err != nil {
				return err
			}
			entries = entries[n:]
		}
	}
	return s.disk.Sync()
}

// fitting is how many of the entries make one batch of the log. The replica asks
// for their order alone.
func fitting(entries []replica.Entry) int {
	size := 0
	for i := range entries {
		size += len(entries[i].Key) + len(entries[i].Value) + 16
		if size > log.MaxBatch && i > 0 {
			return i
		}
	}
	return len(entries)
}

func lines(entries []replica.Entry) []log.Entry {
	out := make([]log.Entry, len(entries))
	for i := range entries {
		out[i] = log.Entry(entries[i])
	}
	return out
}

// cleanBudget is how many bytes of dead space are looked through after a sync.
const cleanBudget = 256 << 10

// clean does a piece of the log's cleaning. What fails shows at the next sync.
func (s *Store) clean() {
	if s.disk.CleanWanted() {
		if err := s.disk.Clean(cleanBudget); err != nil {
			s.cfg.Log.Warn("the store's log is not cleaned", "why", err)
		}
	}
}

func (s *Store) note() {
	f := s.disk.Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.figures = f
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
