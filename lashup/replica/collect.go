package replica

import (
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
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
func (s *sweeping) restart(now time.Duration) {
	s.tombs, s.folding, s.after = 0, true, ""
	s.at = min(s.at, now+sweepEvery)
}

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
	var rests []*record
	for n := 0; n < sweepTombs && s.tombs < len(r.tombs); n++ {
		rec := r.tombs[s.tombs]
		if r.isTomb(rec) {
			state := r.state(rec)
			settled, rest := r.settle.base.Vector.Covers(state.Context()), r.hasRests(state)
			if !settled || rest {
				if settled && r.clearsUp(rec) {
					rests = append(rests, rec)
				}
				s.tombs++
				r.settle.work = true
				continue
			}
			r.stats.Collected++
			r.persist(lineKey, rec.key)
			r.discard(rec)
		}
		rec.set(recListed, false)
		last := len(r.tombs) - 1
		r.tombs[s.tombs], r.tombs[last] = r.tombs[last], nil
		r.tombs = r.tombs[:last]
	}
	r.clearUp(rests)
}

// hasRests says whether something in an absent state would act on what is written
// later: elements that were removed from a remove-wins set. It may only be forgotten
// by an operation, for replicas do not forget at the same time.
func (r *Replica) hasRests(s *crdt.State) bool {
	clear := s.Clone()
	one := crdt.Dot{Actor: crdt.Actor{Incarnation: 1}, Seq: 1} // nobody's
	_, err := clear.Apply(crdt.Reset(), one, 0, nil, crdt.Limits{})
	return err != nil || rootSize(clear) != rootSize(s)
}

// rootSize is the size of a state without its context.
func rootSize(s *crdt.State) int { return s.Size() - s.Context().Size() }

// clearsUp says whether it is for this replica to clear up what is left of a key:
// its owner does, or who proposed the last round.
func (r *Replica) clearsUp(rec *record) bool {
	if rec.proof != nil {
		return rec.proof.batch.node == r.self
	}
	return r.settle.base.ID.Proposer == r.self
}

// clearUp resets keys of which only rests are left. They are forgotten when that is
// settled.
func (r *Replica) clearUp(list []*record) {
	w := &writing{r: r, changes: map[string]*change{}}
	for _, rec := range list {
		p, _ := placeOf(rec.key)
		c := r.open(rec.key, p)
		if w.apply(c, &Write{Op: crdt.Reset()}) == nil {
			r.emit(c)
			w.list = append(w.list, c)
		}
	}
	w.finish()
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
	r.save(rec, nil)
}

// turnVolatile forgets volatile tombstones that are old.
func (r *Replica) turnVolatile() {
	s := &r.sweep
	s.turn = r.now + volatileFor
	for _, rec := range s.old {
		if rec.set(recListed, false); r.isTomb(rec) {
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
