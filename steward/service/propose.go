package service

import (
	"context"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/reeve"
)

// memberTimeout bounds how long one member may take to answer.
const memberTimeout = 5 * time.Second

// writeQuorum is how many members must have a document on disk: a majority, or
// five in a flock of more than nine.
func writeQuorum(members int) int {
	if members > 9 {
		return 5
	}
	return majority(members)
}

// readQuorum is how many members must be asked so that one of them has whatever
// was acknowledged.
func readQuorum(members int) int { return members - writeQuorum(members) + 1 }

// leastRead is how many members must have been read at the least. In an even
// flock the read quorum is less than a majority, in a large one more.
func leastRead(members int) int { return min(readQuorum(members), majority(members)) }

func majority(members int) int { return members/2 + 1 }

// propose reads the document's present version, refuses what is not higher, and
// stores it on as many members as it takes.
func (r *reign) propose(ctx context.Context, d crux.Doc) error {
	op := "propose " + d.Name
	r.mu.Lock()
	members := r.view.Members
	r.mu.Unlock()

	have, err := r.newest(ctx, members, d.DocKey)
	if err != nil {
		return crux.Wrap(op, err)
	}
	if have.Version > d.Version || have.Version == d.Version && string(have.Body) != string(d.Body) {
		return crux.Errorf(op, crux.Conflict, "version %d is not higher than version %d, which the group has: somebody else was faster; look, and try again", d.Version, have.Version)
	}
	// Here first, for whoever asks the leader next: what was acknowledged is
	// then found, whichever members made up the majority.
	if err := r.cfg.Reeve.StoreDoc(d); err != nil {
		return crux.Wrap(op, err)
	}
	need := writeQuorum(len(members))
	stored, err := r.ask(ctx, members, need, func(ctx context.Context, c reeve.ReeveClient) (crux.Doc, error) {
		_, err := c.Store(ctx, wire.DocTo(&d))
		return crux.Doc{}, wire.FromStatus(err)
	})
	if len(stored) >= need {
		return nil
	}
	kind := crux.Unavailable
	if k := crux.KindOf(err); k == crux.Denied || k == crux.Conflict || k == crux.Invalid || k == crux.Corrupt {
		kind = k
	}
	return crux.Errorf(op, kind, "only %d of %d members have it on disk, of whom %d are needed (it may still spread from those): %w",
		len(stored), len(members), need, err)
}

// newest reads a document from so many members that one of them has what was
// acknowledged; where so many do not answer, from all that do, if they are a
// majority. The zero document is that there is none.
func (r *reign) newest(ctx context.Context, members []crux.Member, k crux.DocKey) (have crux.Doc, err error) {
	read, err := r.ask(ctx, members, readQuorum(len(members)), func(ctx context.Context, c reeve.ReeveClient) (crux.Doc, error) {
		m, err := c.Read(ctx, wire.DocKeyTo(k))
		if err = wire.FromStatus(err); crux.KindOf(err) == crux.NotFound && err != nil {
			return crux.Doc{}, nil
		}
		if err != nil {
			return crux.Doc{}, err
		}
		x, err := wire.DocFrom(m)
		if err != nil || x.DocKey != k || !r.credible(x) {
			return crux.Doc{}, nil // it has none that counts
		}
		return x, nil
	})
	if need := leastRead(len(members)); len(read) < need {
		return crux.Doc{}, crux.Errorf("read "+k.Name, crux.Unavailable,
			"only %d of %d members can be read, of whom %d are needed: %w", len(read), len(members), need, err)
	}
	for _, x := range read {
		if x.Version > have.Version {
			have = x
		}
	}
	return have, nil
}

// credible says whether a document that a member shows counts: nobody holds up a
// publication with a version that was never signed. What counts is kept here too.
func (r *reign) credible(d crux.Doc) bool {
	err := r.cfg.Reeve.StoreDoc(d)
	if err == nil {
		return true
	}
	switch crux.KindOf(err) {
	case crux.Denied, crux.Invalid, crux.Corrupt:
		r.cfg.Log.Warn("a member has a document that does not count", "error", err)
		return false
	}
	return true // a later one is here, or the disk is full
}

// ask calls all members at once, and returns the good answers once there are
// need of them, or all have answered; the error is that of one that failed. The
// calls that are then still under way go on, bounded, and end with the reign at
// the latest: what a majority has should reach the others too.
func (r *reign) ask(ctx context.Context, members []crux.Member, need int,
	call func(context.Context, reeve.ReeveClient) (crux.Doc, error)) (good []crux.Doc, err error) {
	type answer struct {
		doc crux.Doc
		err error
	}
	answers := make(chan answer, len(members))
	for _, m := range members {
		live, done, err := r.live(context.WithoutCancel(ctx))
		if err != nil {
			return good, err
		}
		go func() {
			defer done()
			live, cancel := context.WithTimeout(live, memberTimeout)
			defer cancel()
			var a answer
			conn, err := r.cfg.Dial(live, m)
			if err == nil {
				a.doc, err = call(live, reeve.NewReeveClient(conn))
			}
			a.err = crux.Wrap("node "+m.ID.String(), err)
			answers <- a
		}()
	}
	for range members {
		select {
		case a := <-answers:
			if a.err != nil {
				err = a.err
				continue
			}
			if good = append(good, a.doc); len(good) == need {
				return good, nil
			}
		case <-ctx.Done():
			return good, context.Cause(ctx)
		}
	}
	return good, err
}
