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
// together (group commit). When nothing comes, it cleans the log.
func (s *Store) write() {
	var c cleaning
	failing := false
	for {
		batch, list, ok := s.outbox.take(!c.wanted(s))
		if !ok {
			return
		}
		err := s.sync(list, &c)
		if err == nil {
			s.note()
		} else {
			s.outbox.fail()
		}
		if (err != nil) != failing {
			failing = err != nil
			s.tellDisk(err)
		}
		if len(list) == 0 && err == nil {
			continue
		}
		select {
		case s.persisted <- persisted{batch, len(list), err}:
		case <-s.stopped.Done():
			return
		}
	}
}

// sync puts a group of batches on disk, in one piece if it is not too large.
func (s *Store) sync(list [][]replica.Entry, c *cleaning) error {
	if err := s.disk.Recover(); err != nil { // of a failure before, if there was one
		return err
	}
	entries, bytes := merge(list)
	if err := c.step(s, bytes); err != nil {
		return err
	}
	for len(entries) > 0 {
		n := fitting(entries)
		if err := s.disk.Append(entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return s.disk.Sync()
}

// merge makes one list of a group. Of several entries with one key the last one is
// enough, if all are on disk at once.
func merge(list [][]replica.Entry) (out []log.Entry, bytes int) {
	for _, entries := range list {
		for i := range entries {
			out = append(out, log.Entry(entries[i]))
			bytes += sizeOf(&out[len(out)-1])
		}
	}
	if len(list) < 2 || bytes > log.MaxBatch {
		return out, bytes
	}
	last := make(map[string]int, len(out))
	for i := range out {
		last[string(out[i].Key)] = i
	}
	kept := out[:0]
	bytes = 0
	for i := range out {
		if last[string(out[i].Key)] == i {
			kept = append(kept, out[i])
			bytes += sizeOf(&out[i])
		}
	}
	return kept, bytes
}

// sizeOf is at least what an entry takes in the log.
func sizeOf(e *log.Entry) int { return len(e.Key) + len(e.Value) + 16 }

// fitting is how many of the entries make one batch of the log. The replica asks
// for their order alone.
func fitting(entries []log.Entry) int {
	size := 0
	for i := range entries {
		size += sizeOf(&entries[i])
		if size > log.MaxBatch && i > 0 {
			return i
		}
	}
	return len(entries)
}

const (
	// cleanLeast is how many bytes of the log are looked through at a time, and
	// cleanFactor how many more for each byte that is written meanwhile.
	cleanLeast  = 256 << 10
	cleanFactor = 4
	// cleanRest is how long a log is left alone that could not be read.
	cleanRest = time.Minute
)

// cleaning is the cleaning of the log, in steps.
type cleaning struct {
	rest time.Time // not before
	idle int       // steps since something was written
}

func (c *cleaning) wanted(s *Store) bool {
	return s.disk.CleanWanted() && !s.cfg.Clock.Now().Before(c.rest)
}

// step does a piece of it, for so many bytes that are to be written; the next Sync
// brings it to the disk. An error is one of writing.
func (c *cleaning) step(s *Store, bytes int) error {
	if c.idle++; bytes > 0 {
		c.idle = 0
	}
	if !c.wanted(s) {
		return nil
	}
	if x := s.disk.Stats(); c.idle > 16+4*x.Segments+int(4*x.Bytes/cleanLeast) {
		c.rest = s.cfg.Clock.Now().Add(cleanRest) // enough to go through all of it
	}
	err := s.disk.Clean(cleanLeast + cleanFactor*bytes)
	if broken := s.disk.Broken(); broken != nil {
		return broken
	}
	if err != nil {
		c.rest = s.cfg.Clock.Now().Add(cleanRest)
		s.cfg.Log.Warn("the store's log is not cleaned", "why", err, "again in", cleanRest)
	}
	return nil
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
