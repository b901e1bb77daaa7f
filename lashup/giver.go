package lashup

import (
	"context"
	"encoding/json"
	"os"

	"fulcrum.example/crux"
)

// What a core does as the owner that gives the fabric away; see handover.go.

func (c *core) offer() offer {
	return offer{Inst: c.inst, Epoch: c.epoch, NetID: c.server.NetID()}
}

// announce refuses writes from now on, tells watchers, and waits for the writes
// under way.
func (c *core) announce(ctx context.Context) error { return c.api.gate.close(ctx) }

// closeStore ends the store in this process and gives its state.
func (c *core) closeStore() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), shutMost)
	defer cancel()
	state, err := c.store.get().Freeze(ctx)
	if err == nil {
		c.frozenStore = state
	}
	return state, err
}

// handed is what goes over with the fabric's sockets.
type handed struct {
	Fabric   []byte          `json:"fabric"`
	Requests json.RawMessage `json:"requests"`
}

// freeze stops the fabric, but for answers to pings, and gives its state and its
// sockets.
func (c *core) freeze() ([]byte, []*os.File, error) {
	ctx, cancel := context.WithTimeout(context.Background(), shutMost)
	defer cancel()
	requests, err := c.api.requests.save()
	if err != nil {
		return nil, nil, err
	}
	fabric, files, err := c.node.Load().Freeze(ctx)
	if err != nil {
		return nil, nil, err
	}
	c.frozenFabric = true
	b, err := json.Marshal(handed{fabric, requests})
	if err != nil {
		return nil, files, crux.Errorf("hand over", crux.Internal, "%w", err)
	}
	return b, files, nil
}

// resume takes back what was given away.
func (c *core) resume() error {
	ctx, cancel := context.WithTimeout(context.Background(), loadPatience)
	defer cancel()
	if c.frozenFabric {
		if err := c.node.Load().Thaw(ctx); err != nil {
			c.fail(err)
			return err
		}
		c.frozenFabric = false
	}
	if c.frozenStore != nil {
		o, err := c.prepareStore(takeBackMost)
		if err == nil {
			err = c.openStore(o, c.frozenStore)
		}
		if err != nil {
			c.fail(err)
			return err
		}
		c.frozenStore = nil
	} else {
		c.store.get().Thaw()
		if _, err := c.store.get().Stats(ctx); err != nil { // it was closed all the same
			c.fail(err)
			return err
		}
	}
	c.api.gate.reopen()
	return nil
}

// retire ends what was handed over. The calls under way are finished, once the
// node's registry has the successor's row.
func (c *core) retire() {
	c.halt()
	if err := c.node.Load().Close(); err != nil {
		c.log.Warn("the fabric did not end in good order here", "why", err)
	}
	go func() {
		defer close(c.ended)
		c.awaitRow()
		c.server.Retire()
		if err := c.server.Wait(); err != nil {
			c.log.Warn("the server did not end in good order", "why", err)
		}
		c.group.Wait()
		c.closeFolders()
	}()
}

// awaitRow waits until the registry has another instance at this one's address,
// so that clients find it when this one stops accepting; not for long.
func (c *core) awaitRow() {
	ctx, cancel := context.WithTimeout(context.Background(), rowPatience)
	defer cancel()
	self := c.server.Endpoint()
	for s := range c.network.Registry().Watch(ctx, crux.Selector{Horde: self.Horde, API: self.Inst.API(), Node: self.Node}) {
		for i := range s.Rows {
			if r := &s.Rows[i]; r.NetID == self.NetID && r.Inst != self.Inst && r.Status == crux.Serving {
				return
			}
		}
	}
}
