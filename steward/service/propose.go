package service

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/reeve"
)

// docMessage is a document on the wire.
type docMessage = reeve.Doc

// storeTimeout bounds how long a member may take to store a document after the
// majority was reached, or not.
const storeTimeout = 5 * time.Second

// quorum is how many members must have a document on disk: a majority, or five
// in a flock of more than nine.
func quorum(members int) int {
	if members > 9 {
		return 5
	}
	return members/2 + 1
}

// propose reads the document's present version from a majority, refuses what is
// not higher, and stores it on a majority.
func (r *reign) propose(ctx context.Context, d crux.Doc) error {
	op := "propose " + d.Name
	r.mu.Lock()
	members := r.view.Members
	r.mu.Unlock()
	need := quorum(len(members))

	var have crux.Doc
	got, err := r.ask(ctx, members, majority(len(members)), func(ctx context.Context, c reeve.ReeveClient, found chan<- crux.Doc) error {
		m, err := c.Read(ctx, wire.DocKeyTo(d.DocKey))
		if err = wire.FromStatus(err); crux.KindOf(err) == crux.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		x, err := wire.DocFrom(m)
		if err == nil {
			found <- x
		}
		return err
	}, func(x crux.Doc) {
		if x.Version > have.Version {
			have = x
		}
	})
	if err != nil {
		return crux.Errorf(op, crux.Unavailable, "only %d of %d members can be read, of whom a majority is needed: %w", got, len(members), err)
	}
	if have.Version > d.Version || have.Version == d.Version && string(have.Body) != string(d.Body) {
		return crux.Errorf(op, crux.Conflict, "version %d is not higher than version %d, which the group has: somebody else was faster; look, and try again", d.Version, have.Version)
	}
	got, err = r.ask(ctx, members, need, func(ctx context.Context, c reeve.ReeveClient, _ chan<- crux.Doc) error {
		_, err := c.Store(ctx, wire.DocTo(&d))
		return wire.FromStatus(err)
	}, nil)
	if err != nil {
		kind := crux.Unavailable
		if k := crux.KindOf(err); k == crux.Denied || k == crux.Conflict || k == crux.Invalid || k == crux.Corrupt {
			kind = k
		}
		return crux.Errorf(op, kind, "only %d of %d members have it on disk, of whom %d are needed: %w", got, len(members), need, err)
	}
	return nil
}

func majority(members int) int { return members/2 + 1 }

// ask calls all members at once and returns once need of them have answered
// well, or so many have not that it cannot be. The calls that are then still
// under way go on, bounded, and end with the reign at the latest.
func (r *reign) ask(ctx context.Context, members []crux.Member, need int,
	call func(context.Context, reeve.ReeveClient, chan<- crux.Doc) error, each func(crux.Doc)) (got int, err error) {
	type answer struct {
		docs []crux.Doc
		err  error
	}
	answers := make(chan answer, len(members))
	for _, m := range members {
		// Not the caller's context: a document that the majority has should
		// reach the others too.
		cctx, done, err := r.live(context.WithoutCancel(ctx))
		if err != nil {
			return 0, err
		}
		go func() {
			defer done()
			cctx, cancel := context.WithTimeout(cctx, storeTimeout)
			defer cancel()
			found := make(chan crux.Doc, 1)
			var a answer
			var conn *grpc.ClientConn
			if conn, a.err = r.cfg.Dial(cctx, m); a.err == nil {
				a.err = call(cctx, reeve.NewReeveClient(conn), found)
			}
			select {
			case d := <-found:
				a.docs = append(a.docs, d)
			default:
			}
			answers <- a
		}()
	}
	var last error
	for failed := 0; got < need; {
		select {
		case a := <-answers:
			if a.err != nil {
				failed, last = failed+1, a.err
				if len(members)-failed < need {
					return got, last
				}
				continue
			}
			got++
			for _, d := range a.docs {
				if each != nil {
					each(d)
				}
			}
		case <-ctx.Done():
			return got, context.Cause(ctx)
		}
	}
	return got, nil
}
