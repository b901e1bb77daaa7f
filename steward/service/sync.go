package service

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	pb "fulcrum.example/protos/steward"
	"fulcrum.example/steward"
)

type syncStream = grpc.BidiStreamingServer[pb.FromReeve, pb.FromSteward]

// subscriber is one reeve's stream.
type subscriber struct {
	node   crux.NodeID
	cancel context.CancelFunc
	words  map[crux.NodeID]steward.Word // whose rows it said it holds

	mu     sync.Mutex
	wake   chan struct{}          // capacity 1: the receiver left something below
	resync bool                   // ask it for all its rows
	full   []crux.NodeID          // owners of whom it wants the full set
	want   []crux.DocKey          // documents that it has and we lack
	has    map[crux.DocKey]uint64 // versions that it has
}

// maxAsked bounds the full sets that a reeve may ask for at a time.
const maxAsked = 4096

// serve runs a reeve's stream until either side ends it, the reign ends, or
// the node is a member no longer.
func (r *reign) serve(stream syncStream, id crux.NodeID) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.GetHello() == nil {
		return crux.Errorf("sync", crux.Invalid, "the stream does not begin with hello")
	}
	ctx, done, err := r.live(stream.Context())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	sub, leave, err := r.enter(id, cancel)
	if err != nil {
		cancel()
		done()
		return err
	}
	defer leave()
	sub.hear(first.GetHello(), &r.cfg)
	r.take(sub, first)
	return r.run(ctx, sub, stream, func() {
		cancel()
		done()
	})
}

// run receives and pushes until ctx ends or one of the two fails. It does not
// wait for them: a reeve that reads nothing blocks the sender, and it is the
// return from the stream's handler that frees it. done is called when both have
// ended; that is what the reign's end waits for.
func (r *reign) run(ctx context.Context, sub *subscriber, stream syncStream, done func()) error {
	ended := make(chan error, 2)
	var both sync.WaitGroup
	both.Go(func() { ended <- r.receive(sub, stream) })
	both.Go(func() { ended <- r.push(ctx, sub, stream) })
	go func() {
		both.Wait()
		done()
	}()
	select {
	case err := <-ended:
		sub.cancel()
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	case <-ctx.Done():
		return crux.Errorf("sync", crux.Unavailable,
			"this steward's reign has ended, or node %v is no member, or another stream of it has begun", sub.node)
	}
}

func (r *reign) receive(sub *subscriber, stream syncStream) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		r.take(sub, m)
	}
}

// enter registers a stream; an earlier one of the same node ends.
func (r *reign) enter(id crux.NodeID, cancel context.CancelFunc) (_ *subscriber, leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.view.Member(id); !ok {
		return nil, nil, crux.Errorf("sync", crux.Unavailable, "node %v is not a member of the flock (yet): try again", id)
	}
	if old := r.subs[id]; old != nil {
		old.cancel()
	}
	sub := &subscriber{node: id, cancel: cancel, wake: make(chan struct{}, 1), has: map[crux.DocKey]uint64{}}
	r.subs[id] = sub
	return sub, func() {
		r.mu.Lock()
		if r.subs[id] == sub {
			delete(r.subs, id)
		}
		r.mu.Unlock()
	}, nil
}

// hear notes what a reeve has: rows, and documents, of which this node may lack
// some.
func (sub *subscriber) hear(h *pb.Hello, cfg *Config) {
	sub.words = make(map[crux.NodeID]steward.Word, len(h.GetHas()))
	for _, x := range h.GetHas() {
		if id, err := wire.NodeIDFrom(x.GetNode()); err == nil {
			sub.words[id] = steward.Word{Incarnation: x.GetIncarnation(), Seq: x.GetSeq()}
		}
	}
	docs, _ := cfg.Reeve.AllDocs()
	mine := make(map[crux.DocKey]*crux.Doc, len(docs))
	for i := range docs {
		mine[docs[i].DocKey] = &docs[i]
	}
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for _, x := range h.GetDocs() {
		k, err := wire.DocKeyFrom(x.GetKey())
		if err != nil {
			continue
		}
		sub.has[k] = x.GetVersion()
		switch d := mine[k]; {
		case d == nil || x.GetVersion() > d.Version:
			sub.want = append(sub.want, k)
		case x.GetVersion() == d.Version && !sameSum(d, x.GetSum()):
			cfg.Log.Warn("two nodes have different documents of one version: publish a higher one",
				"document", k.Name, "version", d.Version, "node", sub.node)
		}
	}
}

func sameSum(d *crux.Doc, sum []byte) bool {
	mine := sha256.Sum256(d.Body)
	return bytes.Equal(mine[:], sum)
}

// ask notes the nodes of which the reeve wants the full set.
func (sub *subscriber) ask(nodes [][]byte) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for _, b := range nodes {
		if id, err := wire.NodeIDFrom(b); err == nil && len(sub.full) < maxAsked {
			sub.full = append(sub.full, id)
		}
	}
}

// demandAll has the reeve asked for all its rows.
func (sub *subscriber) demandAll() {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.resync = true
}

// wakeUp has the sender look at what the receiver left.
func (sub *subscriber) wakeUp() {
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}
