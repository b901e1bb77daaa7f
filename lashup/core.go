package lashup

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/lashup/node"
	"fulcrum.example/lashup/store"
	"fulcrum.example/lashup/store/vfs"
)

const (
	// storeName is the folder of the store's log, stateName that of the small
	// state, in the service's folder.
	storeName = "store"
	stateName = "state"
	// drainMost is how long calls may go on that are under way at the end.
	drainMost = 5 * time.Second
	// rowPatience bounds the wait for the successor's row in the registry before
	// this process stops accepting.
	rowPatience = time.Second
	// shutMost bounds the wait for writes under way at the end.
	shutMost = 2 * time.Second
	// takeBackMost bounds the wait for a taker that failed to let go of the store:
	// it may be a process that got no time.
	takeBackMost = 30 * time.Second
)

// factory makes engines of what the service routine was given.
type factory struct {
	inst    crux.Inst
	network crux.Node
	alive   chan<- []crux.Fservice
	log     *slog.Logger
}

// core is an engine: a fabric, a store, and the server of their API.
type core struct {
	factory
	epoch   uint64
	first   bool    // its disk knows of no earlier epoch
	files   *vfs.OS // of the store
	state   *store.State
	small   *vfs.OS // of the state
	sockets *node.Sockets
	node    atomic.Pointer[node.Node]
	joined  chan struct{} // closed when node is set
	store   holder
	loading atomic.Bool // what is on disk is read, which was verified before
	feeder  *feeder
	api     *api
	server  *rpc.Server

	frozenStore  []byte // the store's state, while another process may have it
	frozenFabric bool

	halted sync.Once
	done   chan struct{} // closed by halt
	group  sync.WaitGroup
	bad    chan error
	ended  chan struct{} // closed when the server has ended after retire
}

func (f *factory) newCore() *core {
	self := f.network.ID()
	c := &core{factory: *f, joined: make(chan struct{}), done: make(chan struct{}), bad: make(chan error, 1), ended: make(chan struct{}), feeder: newFeeder()}
	c.api = &api{inst: f.inst, self: self, since: time.Now(), store: &c.store, hub: newHub(), gate: newGate(), local: fromNode(self)}
	return c
}

// halt ends what runs beside the server.
func (c *core) halt() { c.halted.Do(func() { close(c.done) }) }

// open starts anew from what is on disk, with an epoch above floor.
func (f *factory) open(ctx context.Context, floor uint64) (_ engine, err error) {
	c := f.newCore()
	defer func() {
		if err != nil {
			c.drop()
		}
	}()
	if err := c.openState(); err != nil {
		return nil, err
	}
	c.first = !c.state.Used()
	// The wall clock keeps a disk that was restored from a backup, or emptied,
	// from using an epoch again; the files, a clock that was set back.
	if c.epoch, err = c.state.NextEpoch(max(floor, uint64(time.Now().Unix()))); err != nil {
		return nil, err
	}
	if c.sockets, err = node.Listen(ctx, c.network); err != nil {
		return nil, err
	}
	if err := c.openNode(ctx, nil); err != nil {
		return nil, err
	}
	o, err := c.prepareStore(0)
	if err != nil {
		return nil, err
	}
	if err := c.openStore(o, nil); err != nil {
		return nil, err
	}
	return c, c.serve(newRequests(c.epoch))
}

// openState opens the small state.
func (c *core) openState() (err error) {
	if c.small, err = openDir(c.network.Dir(), stateName); err != nil {
		return err
	}
	c.state, err = store.OpenState(c.small, func(err error) {
		c.log.Warn("a file of the state is damaged; its twin is not", "why", err)
	})
	return err
}

func openDir(dir, name string) (*vfs.OS, error) {
	f, err := vfs.OpenOS(filepath.Join(dir, name))
	if err != nil {
		return nil, crux.Errorf("open folder", crux.Unavailable, "%w", err)
	}
	return f, nil
}

// openNode starts the fabric: anew, or with the state of the process before.
func (c *core) openNode(ctx context.Context, state []byte) error {
	n, err := node.Open(ctx, node.Config{
		Network: c.network, Inst: c.inst, Sockets: c.sockets, Epoch: c.epoch, State: state,
		Saved: c.state.Members(), Save: c.state.SaveMembers, Sink: c.sink(), Log: c.log,
	})
	if err != nil {
		return err
	}
	c.node.Store(n)
	close(c.joined)
	c.api.net = n
	return nil
}

// serve starts the server and what runs beside it. Writes are refused until own.
func (c *core) serve(r *requests) (err error) {
	c.api.epoch, c.api.requests = c.epoch, r
	c.server, err = rpc.Serve(c.network, rpc.Options{
		Inst: c.inst, Alive: c.alive, Listener: c.sockets.Service, Drain: drainMost,
	}, func(r grpc.ServiceRegistrar) { c.api.register(r) })
	if err != nil {
		return err
	}
	c.group.Go(c.feed)
	c.group.Go(func() {
		if err := c.server.Wait(); err != nil {
			c.fail(err)
		}
	})
	c.group.Go(func() {
		select {
		case epoch := <-c.node.Load().Superseded():
			c.fail(&renewal{epoch, "others know a later process of this node"})
		case <-c.done:
		}
	})
	return nil
}

// fail tells what the engine cannot go on with: the first of it counts.
func (c *core) fail(err error) {
	select {
	case c.bad <- err:
	default:
	}
}

// renewal is why an engine is to be replaced by a new one with a greater epoch.
type renewal struct {
	epoch uint64
	why   string
}

func (r *renewal) Error() string { return r.why }

func (c *core) own()                     { c.api.gate.reopen() }
func (c *core) failed() <-chan error     { return c.bad }
func (c *core) drained() <-chan struct{} { return c.ended }

// close leaves the fabric and ends in good order.
func (c *core) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutMost)
	defer cancel()
	errs := []error{c.api.gate.close(ctx)} // streams end by it
	errs = append(errs, c.server.Close())
	c.halt()
	errs = append(errs, c.node.Load().Close(), c.store.close())
	c.group.Wait()
	c.closeFolders()
	return errors.Join(errs...)
}

func (c *core) closeFolders() {
	for _, f := range []*vfs.OS{c.small, c.files} {
		if f != nil {
			f.Close()
		}
	}
}
