package bed

import (
	"context"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/fabric"
	lashup "fulcrum.example/lashup/node"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/route"
	"fulcrum.example/lashup/store"
	"fulcrum.example/lashup/store/vfs"
)

const (
	fabricInst = crux.Inst("lashup1_0")
	// batchLabel is for the store's signatures.
	batchLabel = crux.LabelService + "lashup1 bench batch"
	// castsMost is how many of the store's multicasts may wait; more are lost,
	// and fetched by comparison.
	castsMost = 1024
)

// Fabric is the event fabric of one node and its store, put together as the
// lashup service does, on sockets of their own. The store's files are in memory:
// dozens of stores that sync to one disk would wait for that, and hold up the
// process that they share.
type Fabric struct {
	Net   *Confab
	Store *store.Store

	self       crux.NodeID
	node       atomic.Pointer[lashup.Node] // nil until it is open
	casts      chan []byte
	neighbours atomic.Pointer[[]crux.NodeID]
	moved      chan struct{} // holds a token when neighbours has changed
	view       atomic.Pointer[lashup.View]

	mu   sync.Mutex
	fell map[crux.NodeID]time.Time // when members were last seen to go down
}

// openFabric starts the node's fabric and store.
func (n *Node) openFabric(ctx context.Context) error {
	f := &Fabric{
		Net: newConfab(n.Net.Confab), self: n.id,
		casts: make(chan []byte, castsMost), moved: make(chan struct{}, 1), fell: map[crux.NodeID]time.Time{},
	}
	f.view.Store(&lashup.View{})
	n.Fabric = f
	r := &routine{f.Net, n, string(fabricInst)}
	var err error
	if f.Store, err = store.Open(f.storeConfig(n.Flock.View().Bloc), nil); err != nil {
		return err
	}
	n.onClose(f.Store.Close)
	sockets, err := lashup.Listen(ctx, f.Net)
	if err != nil {
		return err
	}
	n.onClose(sockets.Service.Close)
	at, err := lashup.Open(ctx, lashup.Config{
		Network: r, Inst: fabricInst, Sockets: sockets, Epoch: 1,
		Sink: lashup.Sink{Delivered: f.deliver, Received: f.receive, Neighbours: f.meet},
	})
	if err != nil {
		return err
	}
	f.node.Store(at)
	n.onClose(at.Close)
	n.follow(f, at)
	return n.Put(ctx, crux.Endpoint{
		Node: n.id, Horde: crux.DefaultHorde, Inst: fabricInst, NetID: crux.NetID(sockets.Service.Addr().String()),
	})
}

// storeConfig has the store's owned keys signed by the session key of the
// fabric's card.
func (f *Fabric) storeConfig(bloc crux.BlocID) store.Config {
	return store.Config{
		Replica: replica.Config{
			Self: f.self, Bloc: bloc, Incarnation: 1, Rand: mathrand.New(mathrand.NewPCG(mathrand.Uint64(), mathrand.Uint64())),
			Sign: func(root []byte) []byte { return f.node.Load().Sign(batchLabel, root) }, Verify: f.verify, Card: f.card,
		},
		FS: vfs.NewMem(), Clock: clock.Real{}, Send: f.send, Cast: f.cast,
	}
}

// The store's functions: it is open a moment before the fabric is.

func (f *Fabric) verify(id crux.NodeID, incarnation uint64, card, root, sig []byte) bool {
	c, err := route.DecodeCard(card)
	at := f.node.Load()
	return err == nil && at != nil && c.Node == id && c.Epoch == incarnation && at.VerifyCard(c) && at.Verify(c, batchLabel, root, sig)
}

func (f *Fabric) card(id crux.NodeID, incarnation uint64) []byte {
	if at := f.node.Load(); at != nil {
		if c := at.Card(id); c != nil && c.Epoch == incarnation {
			return c.Append(nil)
		}
	}
	return nil
}

func (f *Fabric) send(to crux.NodeID, data []byte) error {
	at := f.node.Load()
	if at == nil {
		return crux.Errorf("send to neighbour", crux.Unavailable, "the fabric is not open yet")
	}
	return at.SendTo(to, fabric.Raw(data))
}

func (f *Fabric) cast(payload []byte) error {
	select {
	case f.casts <- payload:
		return nil
	default:
		return crux.Errorf("multicast", crux.Exhausted, "%d multicasts wait already", castsMost)
	}
}

// The Sink: it is called by the goroutine that owns the fabric, and waits for
// nothing.

func (f *Fabric) deliver(d cast.Delivery) {
	if d.Topic == store.Topic {
		f.Store.Delivered(d.ID.Origin, d.Payload)
	}
}

func (f *Fabric) receive(from crux.NodeID, m fabric.Message) {
	if raw, ok := m.(fabric.Raw); ok {
		f.Store.Received(from, raw)
	}
}

func (f *Fabric) meet(list []crux.NodeID) {
	f.neighbours.Store(&list)
	select {
	case f.moved <- struct{}{}:
	default:
	}
}

// follow starts what stands between the fabric and its store, and what looks at
// the fabric; it ends when the node closes, first of all.
func (n *Node) follow(f *Fabric, at *lashup.Node) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { f.publish(ctx, at) })
	group.Go(func() { f.tellStore(ctx, n.Flock) })
	group.Go(func() { f.look(ctx, at) })
	n.onClose(func() error {
		cancel()
		group.Wait()
		return nil
	})
}

// publish multicasts what the store asks for. What the fabric does not take is
// lost, and fetched by comparison.
func (f *Fabric) publish(ctx context.Context, at *lashup.Node) {
	for {
		select {
		case p := <-f.casts:
			_, _ = at.Publish(ctx, cast.Request{Topic: store.Topic, Payload: p})
		case <-ctx.Done():
			return
		}
	}
}

// tellStore tells the store of its members and neighbours.
func (f *Fabric) tellStore(ctx context.Context, flock crux.Members) {
	views := flock.Watch(ctx)
	for {
		var err error
		select {
		case v, ok := <-views:
			if !ok {
				return
			}
			list := make([]replica.Member, len(v.Members))
			for i := range v.Members {
				list[i] = replica.Member{ID: v.Members[i].ID, Standing: replica.Stable}
			}
			err = f.Store.Members(ctx, list)
		case <-f.moved:
			err = f.Store.Neighbours(ctx, *f.neighbours.Load())
		case <-ctx.Done():
			return
		}
		if err != nil {
			return // the store has ended
		}
	}
}
