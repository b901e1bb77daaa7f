package fabric

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	pb "fulcrum.example/protos/lashup"
)

const (
	// maxWrites bounds the writes of one client that are under way.
	maxWrites = 256
	// maxPause bounds the wait before a write is sent again.
	maxPause   = 100 * time.Millisecond
	firstPause = 5 * time.Millisecond
)

// Update is one operation on one key, not yet applied. Handles make them.
type Update struct{ write *pb.Write }

// If makes the update conditional: it is refused, of kind Conflict, if the key
// is not as it was when r was read.
func (u Update) If(r Reading) Update {
	w := proto.CloneOf(u.write)
	w.Context = r.context
	return Update{w}
}

// Apply applies updates, all or none, and returns once they are on this node's
// disk. The version is where a watch would go on. See the package's
// documentation for when it repeats a write by itself.
func (c *Client) Apply(ctx context.Context, updates ...Update) (Version, error) {
	if len(updates) == 0 {
		return Version{}, crux.Errorf("write", crux.Invalid, "there is nothing to write")
	}
	req := &pb.WriteRequest{Writes: make([]*pb.Write, len(updates))}
	for i, u := range updates {
		req.Writes[i] = u.write
	}
	done, err := c.writes.identify(ctx, c.store, req)
	if err != nil {
		return Version{}, err
	}
	defer done()
	return c.send(ctx, req)
}

// send sends a write until it has an answer.
func (c *Client) send(ctx context.Context, req *pb.WriteRequest) (Version, error) {
	pause := firstPause
	for {
		var to peer.Peer
		var trailer metadata.MD
		reply, err := c.store.Write(ctx, req, grpc.Peer(&to), grpc.Trailer(&trailer))
		if err == nil {
			c.writes.saw(reply.GetVersion().GetEpoch())
			return versionFrom(reply.GetVersion()), nil
		}
		after, refused := retryAfter(err)
		switch {
		case refused:
			pause = after
		case rpc.Lost(err, &to, trailer):
			req.Id.Again = true
		case req.Id.Again && crux.KindOf(err) == crux.Unavailable:
			// Nobody is there who could say what became of it.
		default:
			return Version{}, err
		}
		if rest(ctx, pause) != nil {
			if req.Id.Again {
				err = crux.Errorf("write", crux.Timeout, "whether it was applied is not known, the connection was lost: %w", err)
			}
			return Version{}, err
		}
		pause = min(2*pause, maxPause)
	}
}

// rest waits for d, or until ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writes numbers the writes of one client, and knows which are under way (after
// RIFL: C. Lee et al., Implementing Linearizability at Large Scale and Low
// Latency, SOSP 2015).
type writes struct {
	client [16]byte

	mu          sync.Mutex
	freed       *sync.Cond
	last        uint64
	outstanding map[uint64]struct{}
	epoch       uint64 // of the store, as it said last; 0: not asked
}

// identify gives a write its ID, waiting while too many are under way. done
// ends it.
func (w *writes) identify(ctx context.Context, store pb.StoreClient, req *pb.WriteRequest) (done func(), err error) {
	epoch, err := w.knowEpoch(ctx, store)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.freed.Broadcast()
	})
	defer stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.outstanding) >= maxWrites {
		if err := ctx.Err(); err != nil {
			return nil, crux.Wrap("write", err)
		}
		w.freed.Wait()
	}
	w.last++
	n := w.last
	w.outstanding[n] = struct{}{}
	req.Id = &pb.RequestID{Client: w.client[:], Number: n, Unanswered: w.lowest(), Epoch: epoch}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.outstanding, n)
		w.freed.Signal()
	}, nil
}

// lowest is the lowest number under way.
func (w *writes) lowest() uint64 {
	low := w.last
	for n := range w.outstanding {
		low = min(low, n)
	}
	return low
}

// knowEpoch asks the store for its epoch, once. An old one makes the store
// doubt a repeated write more than it need.
func (w *writes) knowEpoch(ctx context.Context, store pb.StoreClient) (uint64, error) {
	w.mu.Lock()
	epoch := w.epoch
	w.mu.Unlock()
	if epoch != 0 {
		return epoch, nil
	}
	r, err := store.Hello(ctx, &pb.HelloRequest{})
	if err != nil {
		return 0, err
	}
	w.saw(r.GetEpoch())
	return r.GetEpoch(), nil
}

func (w *writes) saw(epoch uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epoch = max(w.epoch, epoch)
}
