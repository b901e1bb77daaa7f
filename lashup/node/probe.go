package node

import (
	"errors"
	"syscall"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/detect"
)

const (
	probeMost = 100 * time.Millisecond
	// maxProbes bounds the probes at a time; one more counts as unanswered.
	maxProbes = 32
)

// startProbe asks a node's kernel whether it takes a connection, and so whether a
// process is behind its port.
func (c *core) startProbe(id crux.NodeID) {
	silent := func(c *core) { c.probed(id, detect.Silent) }
	at := c.n.pairs.Card(id)
	if at == nil || c.probes >= maxProbes {
		c.later(silent)
		return
	}
	c.probes++
	if !c.n.spawn(func() {
		ctx, cancel := c.n.within(probeMost)
		defer cancel()
		conn, err := c.n.cfg.Network.Dial(ctx, at.Link)
		if err == nil {
			conn.Close()
		}
		c.n.core.enter(func(c *core) {
			c.probes--
			c.awake(func(c *core) { c.probed(id, outcomeOf(err)) })
		})
	}) {
		c.probes--
	}
}

// outcomeOf says what the kernel's answer to a connect means.
func outcomeOf(err error) detect.Outcome {
	switch {
	case err == nil:
		return detect.Accepted
	case errors.Is(err, syscall.ECONNREFUSED):
		return detect.Refused
	}
	return detect.Silent
}

func (c *core) probed(id crux.NodeID, o detect.Outcome) {
	c.apply(c.m.Probed(c.n.now(), id, o))
}
