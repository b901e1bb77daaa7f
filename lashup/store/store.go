package store

import (
	"context"
	"io"
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/store/log"
)

// Store is a running store. Close it, or Freeze it.
type Store struct {
	cfg   Config
	rep   *replica.Replica // the loop's
	disk  *log.Log         // the writer's
	lock  io.Closer
	began time.Time

	calls     chan func()
	inbox     inbox
	outbox    outbox
	persisted chan persisted
	renew     chan struct{}

	// The loop's.
	tokens  uint64
	waiting map[uint64]chan replica.Ack
	watches map[replica.WatchID]*Watch
	timer   alarm
	// unsaved counts the batches that the disk does not have, or not yet.
	unsaved  int
	freezing chan frozen // nil: no Freeze waits

	renewed bool

	mu      sync.Mutex
	ending  error     // why nothing is taken any more
	figures log.Stats // of the last sync

	stop    context.CancelFunc
	stopped context.Context
	work    sync.WaitGroup
}

// now is the replica's time: since Open.
func (s *Store) now() time.Duration { return s.cfg.Clock.Now().Sub(s.began) }

// Renew is closed when the others have closed this incarnation, as that of a node
// that does not come back: the owner is to close the store and open it with a new
// incarnation.
func (s *Store) Renew() <-chan struct{} { return s.renew }

// run is the goroutine that owns the replica.
func (s *Store) run() {
	defer s.hangUp()
	for {
		if s.tryFreeze() {
			return
		}
		s.timer.set(s.cfg.Clock, s.rep.NextTick(), s.now())
		select {
		case <-s.stopped.Done():
			return
		case f := <-s.calls:
			f()
		case <-s.inbox.more:
			s.takeIn()
		case p := <-s.persisted:
			s.settle(p)
		case <-s.timer.c:
			s.timer.rang()
			s.carryOut(s.rep.Tick(s.now()))
		}
	}
}

// settle tells the replica what became of its batches.
func (s *Store) settle(p persisted) {
	s.unsaved -= p.batches
	if p.err != nil {
		batch, lost := s.outbox.clear()
		p.batch = batch
		s.unsaved -= lost
	}
	s.carryOut(s.rep.Persisted(s.now(), p.batch, p.err))
}

// takeIn gives the replica what has come since, writes first.
func (s *Store) takeIn() {
	writes, mail := s.inbox.take()
	if len(writes) > 0 {
		reqs := make([]replica.Request, len(writes))
		for i, w := range writes {
			s.tokens++
			reqs[i] = replica.Request{Token: s.tokens, Writes: w.writes}
			s.waiting[s.tokens] = w.ack
		}
		s.carryOut(s.rep.Write(s.now(), s.cfg.Clock.Now(), reqs...))
	}
	for _, m := range mail {
		if m.cast {
			s.carryOut(s.rep.Delivered(s.now(), m.from, m.data))
			continue
		}
		msg, err := replica.Decode(m.data)
		if err != nil {
			s.inbox.lost()
			continue
		}
		s.carryOut(s.rep.Receive(s.now(), m.from, msg))
	}
}

// carryOut does what the replica asks for.
func (s *Store) carryOut(r replica.Ready) {
	if r.Batch != 0 {
		s.unsaved++
		s.outbox.put(r.Batch, r.Persist)
	}
	for _, m := range r.Sends {
		if err := s.cfg.Send(m.To, m.Msg.Append(make([]byte, 0, m.Msg.Size()))); err != nil {
			s.inbox.lost()
		}
	}
	for _, p := range r.Casts {
		if err := s.cfg.Cast(p); err != nil {
			s.inbox.lost()
		}
	}
	for _, a := range r.Acks {
		if c, ok := s.waiting[a.Token]; ok {
			delete(s.waiting, a.Token)
			c <- a // it has room for one
		}
	}
	for _, id := range r.Watches {
		if w := s.watches[id]; w != nil {
			w.ring()
		}
	}
	if len(r.Repaired) > 0 {
		s.cfg.Notice(r.Repaired)
	}
	if r.Renew && !s.renewed {
		s.renewed = true
		close(s.renew)
	}
}

// hangUp ends the waiting of whoever waits, at the end of the loop.
func (s *Store) hangUp() {
	s.timer.stop()
	writes, _ := s.inbox.close()
	for _, w := range writes {
		w.ack <- replica.Ack{Err: s.over()}
	}
	for t, c := range s.waiting {
		delete(s.waiting, t)
		c <- replica.Ack{Err: crux.Errorf("write", crux.Unavailable, "the store was closed before the disk had it: it may or may not be there")}
	}
	for id, w := range s.watches {
		delete(s.watches, id)
		w.ring()
	}
}

// do runs f in the loop and waits for it.
func (s *Store) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case s.calls <- func() { f(); close(done) }:
		<-done // the loop is quick
		return nil
	case <-ctx.Done():
		return crux.Wrap("ask the store", ctx.Err())
	case <-s.stopped.Done():
		return s.over()
	}
}

// over says why nothing is taken any more.
func (s *Store) over() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending != nil {
		return s.ending
	}
	return crux.Errorf("", crux.Unavailable, "the store is closed")
}

// refuse refuses writes from now on, for a reason.
func (s *Store) refuse(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending == nil {
		s.ending = why
	}
}

func (s *Store) refusing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// Close ends the store. What was not acknowledged may or may not be on disk.
func (s *Store) Close() error {
	s.refuse(crux.Errorf("", crux.Unavailable, "the store is closed"))
	if !s.end() {
		return nil
	}
	return crux.Wrap("close the store", s.leave())
}

// end stops the goroutines; false: they were stopped before.
func (s *Store) end() bool {
	first := s.stopped.Err() == nil
	s.stop()
	s.outbox.close()
	s.work.Wait()
	return first
}
