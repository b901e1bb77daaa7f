// Package mirror keeps the group's signed documents in the artifact store too,
// so that they outlive the loss of all nodes' disks.
//
// The leader's node does it for the group. Whenever it begins to lead, it reads
// the documents that the store has and offers them to its reeve, which checks
// their signatures as it does with any other and hands them on; then it puts
// into the store what its reeve has and the store has not, now and as documents
// arrive. The store can withhold a document, never invent one, and what it holds
// of lower versions changes nothing.
//
// Where the bloc file lists no publishers, documents are signed by members: what
// nodes signed that are gone for good then counts for nobody any more.
//
// Nothing waits for the mirror: a store that cannot be reached is tried again
// until it can. Close waits for the call to the store that is under way.
package mirror

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
)

// Store is where documents are kept beside the nodes.
type Store interface {
	// PutDoc keeps a document whose signatures were checked.
	PutDoc(ctx context.Context, d crux.Doc) error
	// ListDocs gives all documents, unverified. With an error it may give those
	// that could be read.
	ListDocs(ctx context.Context) ([]crux.Doc, error)
}

// Local is what the mirror needs of its node's reeve.
type Local interface {
	// AllDocs lists the documents on this node's disk, and gives a channel that
	// is closed at the next change.
	AllDocs() ([]crux.Doc, <-chan struct{})
	// StoreDoc checks a document and keeps it. Conflict: a later one is there.
	StoreDoc(d crux.Doc) error
}

// Config is what a mirror is made of. Clock and Log have defaults.
type Config struct {
	Store   Store
	Reeve   Local
	Members crux.Members
	Clock   crux.Clock
	Log     *slog.Logger
}

// Mirror is one node's mirror, asleep while the node does not lead.
type Mirror struct {
	cfg    Config
	cancel context.CancelFunc
	group  sync.WaitGroup
}

// Backoff while the store, or a document's signer, is not there; and how long
// one call may take.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	callTime   = 30 * time.Second
)

// Open begins to watch who leads.
func Open(cfg Config) (*Mirror, error) {
	if cfg.Store == nil || cfg.Reeve == nil || cfg.Members == nil {
		return nil, crux.Errorf("open mirror", crux.Invalid, "Store, Reeve and Members must be given")
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &Mirror{cfg: cfg, cancel: cancel}
	m.group.Go(func() { m.follow(ctx) })
	return m, nil
}

// Close ends the mirror.
func (m *Mirror) Close() error {
	m.cancel()
	m.group.Wait()
	return nil
}

// follow mirrors while this node leads, until ctx ends.
func (m *Mirror) follow(ctx context.Context) {
	var reign sync.WaitGroup
	var end context.CancelFunc // nil while this node does not lead
	stop := func() {
		if end != nil {
			end()
			reign.Wait()
			end = nil
		}
	}
	defer stop()
	var flock crux.FlockID
	for v := range m.cfg.Members.Watch(ctx) {
		leads := v.Acting && v.Leader == v.Self
		if !leads || v.Flock != flock {
			stop()
		}
		if leads && end == nil {
			rctx, cancel := context.WithCancel(ctx)
			end, flock = cancel, v.Flock
			reign.Go(func() { m.lead(rctx) })
		}
	}
}

// lead keeps reeve and store equal until ctx ends.
func (m *Mirror) lead(ctx context.Context) {
	s := &state{stored: map[crux.DocKey]uint64{}}
	wait := firstRetry
	for ctx.Err() == nil {
		docs, changed := m.cfg.Reeve.AllDocs()
		done := m.load(ctx, s) && m.save(ctx, s, docs)
		if done && len(s.refused) == 0 {
			wait = firstRetry
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		select {
		case <-m.cfg.Clock.After(wait):
		case <-changed:
		case <-ctx.Done():
		}
		wait = min(2*wait, lastRetry)
	}
}

// state is what one reign knows of the store.
type state struct {
	loaded  bool
	stored  map[crux.DocKey]uint64 // the highest versions that are in the store and count
	refused []crux.Doc             // found there, and not accepted so far
}

// load offers what the store has to the reeve: all of it once, what was refused
// again. It says whether the store was read.
func (m *Mirror) load(ctx context.Context, s *state) bool {
	offer := s.refused
	if !s.loaded {
		ctx, cancel := context.WithTimeout(ctx, callTime)
		defer cancel()
		docs, err := m.cfg.Store.ListDocs(ctx)
		if err != nil {
			if ctx.Err() == nil || context.Cause(ctx) == context.DeadlineExceeded {
				m.cfg.Log.Warn("the documents in the store cannot all be read", "read", len(docs), "error", err)
			}
			if k := crux.KindOf(err); k != crux.Corrupt { // else it is as good as it will get
				return false
			}
		}
		s.loaded, offer = true, docs
	}
	s.refused = nil
	for _, d := range offer {
		switch err := m.cfg.Reeve.StoreDoc(d); {
		case err == nil:
			s.stored[d.DocKey] = max(s.stored[d.DocKey], d.Version)
		case crux.KindOf(err) == crux.Conflict: // the group has a later one
		default:
			// Its signer may be a member that this node has not heard of yet, or
			// the disk full: it is offered again.
			m.cfg.Log.Debug("a document from the store was refused", "kind", d.Kind, "name", d.Name, "version", d.Version, "error", err)
			s.refused = append(s.refused, d)
		}
	}
	return true
}

// save puts into the store what it lacks, and says whether it has all now.
func (m *Mirror) save(ctx context.Context, s *state, docs []crux.Doc) (all bool) {
	all = true
	for _, d := range docs {
		if d.Version <= s.stored[d.DocKey] {
			continue
		}
		if err := m.put(ctx, d); err != nil {
			if ctx.Err() != nil {
				return false
			}
			m.cfg.Log.Warn("a document is not in the artifact store yet", "kind", d.Kind, "name", d.Name, "version", d.Version, "error", err)
			if k := crux.KindOf(err); k == crux.Unavailable || k == crux.Timeout {
				return false // so it would be with the others
			}
			all = false
			continue
		}
		s.stored[d.DocKey] = d.Version
	}
	return all
}

func (m *Mirror) put(ctx context.Context, d crux.Doc) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return m.cfg.Store.PutDoc(ctx, d)
}
