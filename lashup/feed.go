package lashup

import (
	"context"
	crand "crypto/rand"
	"math/rand/v2"
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/node"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/route"
	"fulcrum.example/lashup/store"
)

const (
	// batchLabel is what a process signs its batches of own keys under.
	batchLabel = crux.LabelService + "lashup1 batch"
	// absentAfter is how long a member may be away until deletions no longer wait
	// for it.
	absentAfter = 24 * time.Hour
	// standingEvery is how often who is away is looked at where nothing changes.
	standingEvery = 10 * time.Minute
)

// sink is what the fabric's goroutine hands over. Nothing here waits.
func (c *core) sink() node.Sink {
	return node.Sink{
		Delivered: func(d cast.Delivery) {
			if d.Topic != store.Topic {
				c.api.hub.deliver(d)
			} else if s := c.store.get(); s != nil {
				s.Delivered(d.ID.Origin, d.Payload)
			}
		},
		Received: func(from crux.NodeID, m fabric.Message) {
			if s := c.store.get(); s != nil {
				s.Received(from, m.Append(nil))
			}
		},
		Neighbours: c.feeder.set,
	}
}

// prepareStore begins to open the store, and may wait so long for another process
// to let go of it.
func (c *core) prepareStore(patience time.Duration) (*store.Opening, error) {
	if c.files == nil {
		var err error
		if c.files, err = openDir(c.network.Dir(), storeName); err != nil {
			return nil, err
		}
	}
	c.loading.Store(true)
	return store.Prepare(store.Config{
		Replica: replica.Config{
			Self: c.network.ID(), Bloc: c.network.Members().View().Bloc, Incarnation: c.epoch, First: c.first, Rand: rand.New(newSource()),
			Sign: c.sign, Verify: c.verify, Card: c.card,
		},
		FS: c.files, Patience: patience, Clock: clock.Real{}, Log: c.log, Send: c.send, Cast: c.cast,
		Notice: func(keys [][]string) {
			c.log.Warn("keys that were corrupt here were replaced by the neighbours'", "keys", len(keys), "first", keys[0])
		},
	})
}

// newSource is a source of randomness with a seed of its own.
func newSource() rand.Source {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // it never fails
	return rand.NewChaCha8(seed)
}

// errAlone is why nothing is sent: the store of a process that takes over is there
// before its fabric.
var errAlone = crux.Errorf("send", crux.Unavailable, "the fabric is not there yet")

// send gives a message to a neighbour.
func (c *core) send(to crux.NodeID, data []byte) error {
	n := c.node.Load()
	if n == nil {
		return errAlone
	}
	return n.SendTo(to, fabric.Raw(data))
}

// cast multicasts to all members.
func (c *core) cast(payload []byte) error {
	n := c.node.Load()
	if n == nil {
		return errAlone
	}
	_, err := n.Publish(context.Background(), cast.Request{Topic: store.Topic, Payload: payload, Options: cast.Options{Compress: true}})
	return err
}

// openStore starts the store: with a new incarnation, or with the state of the one
// before in the same.
func (c *core) openStore(o *store.Opening, resume []byte) error {
	s, err := o.Open(resume)
	c.loading.Store(false)
	if err != nil {
		return err
	}
	c.store.p.Store(s)
	c.feeder.again()
	c.group.Go(func() {
		select {
		case <-s.Renew():
			c.fail(&renewal{c.epoch, "this node was away for so long that the others have closed its books"})
		case <-c.done:
		}
	})
	return nil
}

// sign signs a batch of own keys, once there is the session key to do it with.
func (c *core) sign(root []byte) []byte {
	select {
	case <-c.joined:
		return c.node.Load().Sign(batchLabel, root)
	case <-c.done: // what is signed now nobody will see
		return nil
	}
}

// verify checks the signature of a batch of another node's keys.
func (c *core) verify(id crux.NodeID, incarnation uint64, card, root, sig []byte) bool {
	if c.loading.Load() {
		return true // what this node's own disk has was verified when it came
	}
	k, err := route.DecodeCard(card)
	n := c.node.Load()
	return n != nil && err == nil && k.Node == id && k.Epoch == incarnation && n.VerifyCard(k) && n.Verify(k, batchLabel, root, sig)
}

// card is the card of a node's incarnation, or nil.
func (c *core) card(id crux.NodeID, incarnation uint64) []byte {
	n := c.node.Load()
	if n == nil {
		return nil
	}
	if k := n.Card(id); k != nil && k.Epoch == incarnation {
		return k.Append(nil)
	}
	return nil
}

// feeder keeps what the store is to be told of the fabric.
type feeder struct {
	mu         sync.Mutex
	neighbours []crux.NodeID
	news       chan struct{} // holds a token when there is something to tell
}

func newFeeder() *feeder { return &feeder{news: make(chan struct{}, 1)} }

func (f *feeder) set(list []crux.NodeID) {
	f.mu.Lock()
	f.neighbours = list
	f.mu.Unlock()
	f.again()
}

func (f *feeder) again() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

func (f *feeder) get() []crux.NodeID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.neighbours
}

// feed tells the store who its neighbours are and who counts as a member, until
// halt.
func (c *core) feed() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.group.Go(func() {
		<-c.done
		cancel()
	})
	tick := time.NewTicker(standingEvery)
	defer tick.Stop()
	for {
		changed := c.node.Load().Changed()
		if err := c.tell(ctx); err != nil && ctx.Err() == nil && !c.api.gate.isShut() {
			c.log.Warn("the store is not told who is there", "why", err)
		}
		pause(ctx, membersPause)
		select {
		case <-changed:
		case <-c.feeder.news:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (c *core) tell(ctx context.Context) error {
	v, err := c.node.Load().View(ctx)
	if err != nil {
		return err
	}
	s := c.store.get()
	if err := s.Members(ctx, standings(v, time.Now())); err != nil {
		return err
	}
	return s.Neighbours(ctx, c.feeder.get())
}

// standings says how the members count for the store, and who was evicted.
func standings(v *node.View, now time.Time) []replica.Member {
	list := make([]replica.Member, len(v.Members), len(v.Members)+len(v.Evicted))
	for i := range v.Members {
		m := &v.Members[i]
		list[i] = replica.Member{ID: m.ID, Standing: replica.Stable}
		if m.State != route.Up && now.Sub(m.Since) > absentAfter {
			list[i].Standing = replica.Absent
		}
	}
	for _, id := range v.Evicted {
		list = append(list, replica.Member{ID: id, Standing: replica.Evicted})
	}
	return list
}
