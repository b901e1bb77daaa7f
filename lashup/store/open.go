package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/store/log"
	"fulcrum.example/lashup/store/vfs"
)

// lockName is the file that keeps other processes out of the log's folder.
const lockName = "lock"

// lockEvery is how often it is tried while that is waited for.
const lockEvery = 20 * time.Millisecond

// Opening is a store that is being opened. While another process owns the folder
// it reads ahead (Follow), so that the handover itself is short. One goroutine
// owns it.
type Opening struct {
	s      *Store
	reader *log.Reader
	lines  int    // that were read
	used   uint64 // the greatest incarnation that the log was opened with before
}

// Prepare begins to open a store. Close the Opening, or Open it. Errors: those of
// replica.New.
func Prepare(cfg Config) (*Opening, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Notice == nil {
		cfg.Notice = func([][]string) {}
	}
	s := &Store{
		cfg: cfg, began: cfg.Clock.Now(), calls: make(chan func()), persisted: make(chan persisted), renew: make(chan struct{}),
		waiting: make(map[uint64]chan replica.Ack), watches: make(map[replica.WatchID]*Watch),
	}
	s.inbox.init()
	s.outbox.init()
	s.cfg.Replica.Wall = s.began
	var err error
	if s.rep, err = replica.New(s.cfg.Replica, s.now()); err != nil {
		return nil, crux.Wrap("open the store", err)
	}
	// Damage is left out and reported: the other nodes have what is missing.
	return &Opening{s: s, reader: log.NewReader(s.cfg.FS, log.Options{
		Tag: s.cfg.Replica.Incarnation, Repair: true,
		Warn: func(err error) { s.cfg.Log.Warn("a file of the store", "why", err) },
	})}, nil
}

// Follow reads what is new on disk, and makes of it what it can; the owner may be
// another process. It gives the number of lines that were new.
func (o *Opening) Follow() (lines int, err error) {
	before := o.lines
	err = o.reader.Follow(o.load)
	o.s.rep.Index(o.s.now())
	return o.lines - before, crux.Wrap("read the store", err)
}

// load gives the replica a line. One that does not read is left out: it comes
// from the other nodes.
func (o *Opening) load(key, value []byte) error {
	o.lines++
	if err := o.s.rep.Load(key, value); err != nil {
		o.s.cfg.Log.Error("a line of the store is left out; it is fetched from the other nodes", "why", err)
	}
	return nil
}

// Open makes this process the owner of the folder and starts the store. resume is
// what Freeze gave to the process before, which had the same incarnation; nil: the
// incarnation is new. The Opening is used up, also by an error. Errors: Unavailable,
// another process, which is named, has the folder; Exhausted and Unavailable, the
// disk; Corrupt, resume is no state of a store; Conflict, it is another one's, or the
// incarnation is not new.
func (o *Opening) Open(resume []byte) (*Store, error) {
	const op = "open the store"
	s := o.s
	if err := s.enter(); err != nil {
		return nil, crux.Wrap(op, errors.Join(err, o.reader.Close()))
	}
	if err := o.own(); err != nil {
		return nil, crux.Wrap(op, errors.Join(err, s.leave()))
	}
	if err := o.start(resume); err != nil {
		s.stop()
		return nil, crux.Wrap(op, errors.Join(err, s.leave()))
	}
	s.work.Go(s.write)
	s.work.Go(s.run)
	return s, nil
}

// enter takes the folder's lock.
func (s *Store) enter() (err error) {
	var locked *vfs.Locked
	for until := s.now() + s.cfg.Patience; ; <-s.cfg.Clock.After(lockEvery) {
		s.lock, err = s.cfg.FS.Lock(lockName, fmt.Sprintf("process %d", os.Getpid()))
		if !errors.As(err, &locked) || s.now() >= until {
			break
		}
	}
	if errors.As(err, &locked) {
		return crux.Errorf("", crux.Unavailable, "%w: it must end, or hand the store over, first", err)
	}
	if err != nil {
		return crux.Errorf("", crux.Unavailable, "%w", err)
	}
	return nil
}

// leave closes the log, if it was opened, and gives the lock back.
func (s *Store) leave() error {
	var err error
	if s.disk != nil {
		err = s.disk.Close()
	}
	return errors.Join(err, s.lock.Close())
}

// own reads what is left of the log and makes it this process's.
func (o *Opening) own() (err error) {
	o.s.disk, err = o.reader.Open(o.load)
	o.used = o.reader.Tag()
	return err
}

// start brings the replica to life.
func (o *Opening) start(resume []byte) error {
	s := o.s
	s.stopped, s.stop = context.WithCancel(context.Background())
	if mine := s.cfg.Replica.Incarnation; resume == nil && o.used >= mine {
		return crux.Errorf("", crux.Conflict, "incarnation %d is not new, this folder was used with %d: mint a greater one", mine, o.used)
	}
	for _, d := range s.disk.Damage() {
		s.cfg.Log.Error("the store was damaged on disk; what is missing is fetched from the other nodes", "damage", d.String())
	}
	s.note()
	first := s.rep.LoadDone(s.now())
	casts := first.Casts // not before the state is whole
	first.Casts = nil
	s.carryOut(first)
	if resume != nil {
		then, err := s.rep.Import(s.now(), resume)
		if err != nil {
			return err
		}
		s.carryOut(then)
	}
	s.carryOut(replica.Ready{Casts: casts})
	return nil
}

// Close gives the opening up.
func (o *Opening) Close() error { return o.reader.Close() }

// Open opens a store that no other process has; resume as of Opening.Open.
func Open(cfg Config, resume []byte) (*Store, error) {
	o, err := Prepare(cfg)
	if err != nil {
		return nil, err
	}
	return o.Open(resume)
}
