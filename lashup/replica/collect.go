package replica

import (
	"time"

	"fulcrum.example/crux"
)

const (
	sweepEvery = time.Second
	// sweepTombs and sweepKeys bound the work of one sweep.
	sweepTombs = 4096
	sweepKeys  = 256
	// volatileFor is how long a deleted volatile key is remembered, at least, so
	// that those who missed the deletion hear of it.
	volatileFor = time.Hour
)

// sweeping is the slow work in the background.
type sweeping struct {
	at      time.Duration
	tombs   int    // of Replica.tombs, how many have been looked at since the last round ended
	folding bool   // keys are being folded
	after   string // this key
	// Volatile tombstones, of the last hour and of the one before.
	young, old []*record
	turn       time.Duration
}

// restart looks at everything again: more is settled.
func (s *sweeping) restart() { s.tombs, s.folding, s.after = 0, true, "" }

// tickSweep does a piece of the work.
func (r *Replica) tickSweep() {
	s := &r.sweep
	s.at = r.now + sweepEvery
	r.sortTombs()
	if r.settle.ready && s.tombs < len(r.tombs) {
		r.collect()
	}
	if r.settle.ready && s.folding {
		r.foldSome()
	}
	if r.now >= s.turn {
		r.turnVolatile()
	}
	if !r.sweepBusy() {
		s.at = r.now + 30*sweepEvery
	}
}

func (r *Replica) sweepBusy() bool {
	return r.settle.ready && (r.sweep.tombs < len(r.tombs) || r.sweep.folding)
}

// sortTombs takes the volatile tombstones out of the others.
func (r *Replica) sortTombs() {
	s := &r.sweep
	for i := s.tombs; i < len(r.tombs); i++ {
		if rec := r.tombs[i]; rec.is(recVolatile) {
			s.young = append(s.young, rec)
			last := len(r.tombs) - 1
			r.tombs[i], r.tombs[last] = r.tombs[last], nil
			r.tombs = r.tombs[:last]
			i--
		}
	}
}

// isTomb says whether a record is there still, and nothing is in it.
func (r *Replica) isTomb(rec *record) bool { return rec.is(recAbsent) && r.find(rec.key) == rec }

// collect forgets tombstones that are settled.
func (r *Replica) collect() {
	s := &r.sweep
	for n := 0; n < sweepTombs && s.tombs < len(r.tombs); n++ {
		rec := r.tombs[s.tombs]
		if r.isTomb(rec) {
			if !r.settle.base.Vector.Covers(r.state(rec).Context()) {
				s.tombs++
				r.settle.work = true
				continue
			}
			r.stats.Collected++
			r.persist(lineKey, rec.key)
			r.discard(rec)
		}
		last := len(r.tombs) - 1
		r.tombs[s.tombs], r.tombs[last] = r.tombs[last], nil
		r.tombs = r.tombs[:last]
	}
}

// foldSome folds closed incarnations in the next keys.
func (r *Replica) foldSome() {
	s := &r.sweep
	list, last := []*record(nil), ""
	n := 0
	for at := r.seek(s.after + "\x00"); n < sweepKeys; at = r.keys.next(at) {
		p := r.keys.at(at)
		if p == nil {
			s.folding, s.after = false, ""
			break
		}
		n++
		last = (*p).key
		if !(*p).is(recVolatile) && (*p).proof == nil && (*p).settled != uint32(r.settle.base.ID.Number) {
			list = append(list, *p)
		}
	}
	if s.folding {
		s.after = last
	}
	for _, rec := range list {
		r.foldRecord(rec)
	}
}

// foldRecord folds a key that nobody changes meanwhile. What it reads as stays.
func (r *Replica) foldRecord(rec *record) {
	if r.doomed(rec) {
		return
	}
	state := r.state(rec)
	before := state.Context()
	rec.settled = uint32(r.settle.base.ID.Number)
	if !r.foldState(state) {
		return
	}
	now := state.Context()
	what := before.Clone()
	what.Union(now)
	r.durable.move(rec, what, before, now)
	r.keep(rec, state)
	r.persist(lineKey, rec.key)
}

// turnVolatile forgets volatile tombstones that are old.
func (r *Replica) turnVolatile() {
	s := &r.sweep
	s.turn = r.now + volatileFor
	for _, rec := range s.old {
		if r.isTomb(rec) {
			r.discard(rec)
		}
	}
	s.old, s.young = s.young, nil
}

// ownedBy are the records of a node's namespace, the volatile ones left out.
func (r *Replica) ownedBy(id crux.NodeID) (list []*record) {
	r.below(namespace(id), func(rec *record) bool {
		if !rec.is(recVolatile) {
			list = append(list, rec)
		}
		return true
	})
	return list
}
