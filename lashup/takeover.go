package lashup

import (
	"context"
	"encoding/json"
	"os"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/node"
	"fulcrum.example/lashup/store"
)

const (
	// followLittle is how many lines may be left to read while nobody takes writes:
	// a few milliseconds' work.
	followLittle = 500
	// followMost is how often the owner's files are read ahead at most. Each time
	// takes as long as what came during the one before, so only an owner that writes
	// faster than that is never caught up with.
	followMost = 12
)

// taken is a core that takes over from another process.
type taken struct {
	*core
	opening *store.Opening
}

func (f *factory) taking() taking { return &taken{core: f.newCore()} }

func (t *taken) engine() engine { return t.core }

// prepare has the node make the key of the endpoint, and reads the store's files
// as far as the owner has written them.
func (t *taken) prepare(ctx context.Context, o offer) (err error) {
	t.epoch = o.Epoch
	at := crux.Endpoint{Node: t.network.ID(), Horde: t.network.Horde(), Inst: t.inst, NetID: o.NetID}
	if _, err := t.network.Keys().Server(ctx, at); err != nil {
		return err
	}
	if t.opening, err = t.prepareStore(0); err != nil {
		return err
	}
	for range followMost {
		n, err := t.opening.Follow()
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return crux.Wrap("take over", ctx.Err())
		}
		if n <= followLittle {
			break
		}
	}
	return nil
}

// openStore reads what is left of the store's files, which are closed now, and
// starts the store. It has no neighbours before the fabric is there.
func (t *taken) openStore(state []byte) error {
	o := t.opening
	t.opening = nil
	return t.core.openStore(o, state)
}

// openFabric goes on with the fabric, and serves.
func (t *taken) openFabric(state []byte, files []*os.File) (err error) {
	if t.sockets, err = node.Adopt(files); err != nil {
		return err
	}
	var h handed
	if err := json.Unmarshal(state, &h); err != nil {
		return crux.Errorf("take over", crux.Corrupt, "%w", err)
	}
	r, err := loadRequests(t.epoch, h.Requests)
	if err != nil {
		return err
	}
	if err := t.openState(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), frozenMost)
	defer cancel()
	if err := t.openNode(ctx, h.Fabric); err != nil {
		return err
	}
	return t.serve(r)
}

// drop lets go of everything.
func (t *taken) drop() {
	if t.opening != nil {
		t.log.Debug("the store's files close", "err", t.opening.Close())
	}
	t.core.drop()
}

// drop lets go of whatever there is, without leaving the fabric, which is another
// process's, or was never joined.
func (c *core) drop() {
	c.halt()
	if c.server != nil {
		c.server.Retire()
		c.log.Debug("the server ends", "err", c.server.Wait())
	} else if c.sockets != nil {
		c.sockets.Service.Close()
	}
	if n := c.node.Load(); n == nil && c.sockets != nil {
		c.log.Debug("the sockets close", "err", c.sockets.Close())
	} else if n != nil {
		ctx, cancel := context.WithTimeout(context.Background(), shutMost)
		defer cancel()
		_, files, err := n.Freeze(ctx)
		closeAll(files)
		c.log.Debug("the fabric closes", "freeze", err, "err", n.Close())
	}
	c.log.Debug("the store closes", "err", c.store.close())
	c.group.Wait()
	c.closeFolders()
}
