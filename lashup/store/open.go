package store

import (
	"context"
	"log/slog"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/store/log"
)

// Opening is a store that is being opened. While another process owns the folder
// it reads ahead (Follow), so that the handover itself is short. One goroutine
// owns it.
type Opening struct {
	s      *Store
	reader *log.Reader
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
	cfg.Replica.Wall = s.began
	var err error
	if s.rep, err = replica.New(cfg.Replica, 0); err != nil {
		return nil, crux.Wrap("open the store", err)
	}
	// Damage is left out and reported: the other nodes have what is missing.
	return &Opening{s, log.NewReader(cfg.FS, log.Options{
		Tag: cfg.Replica.Incarnation, Repair: true,
		Warn: func(err error) { cfg.Log.Warn("a file of the store", "why", err) },
	})}, nil
}

// Follow reads what is new on disk; the owner may be another process.
func (o *Opening) Follow() error { return crux.Wrap("read the store", o.reader.Follow(o.load)) }

// load gives the replica a line. One that does not read is left out: it comes
// from the other nodes.
func (o *Opening) load(key, value []byte) error {
	if err := o.s.rep.Load(key, value); err != nil {
		o.s.cfg.Log.Error("a line of the store is left out; it is fetched from the other nodes", "why", err)
	}
	return nil
}

// Open makes this process the owner of the folder, whose lock it holds, and starts
// the store. resume is what Freeze gave to the process before, which had the same
// incarnation; nil: the incarnation is new. The Opening is used up, also by an
// error. Errors: Exhausted and Unavailable, the disk; Corrupt, resume is no state
// of a store, or Conflict, of another.
func (o *Opening) Open(resume []byte) (*Store, error) {
	const op = "open the store"
	s := o.s
	var err error
	if s.disk, err = o.reader.Open(o.load); err != nil {
		return nil, crux.Wrap(op, err)
	}
	for _, d := range s.disk.Damage() {
		s.cfg.Log.Error("the store was damaged on disk; what is missing is fetched from the other nodes", "damage", d.String())
	}
	s.stopped, s.stop = context.WithCancel(context.Background())
	first := s.rep.LoadDone(s.now())
	casts := first.Casts // not before the state is whole
	first.Casts = nil
	s.carryOut(first)
	if resume != nil {
		then, err := s.rep.Import(s.now(), resume)
		if err != nil {
			s.stop()
			if cerr := s.disk.Close(); cerr != nil {
				s.cfg.Log.Warn("the store's files do not close", "why", cerr)
			}
			return nil, crux.Wrap(op, err)
		}
		s.carryOut(then)
	}
	s.carryOut(replica.Ready{Casts: casts})
	s.work.Go(s.write)
	s.work.Go(s.run)
	return s, nil
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
