package node

import (
	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/flock"
	flockpb "fulcrum.example/protos/flock"
)

// newFile tells the machine of the bloc file that is in force now.
func (c *core) newFile() {
	c.apply(c.machine.SetFile(c.n.now(), fileOf(c.n.cfg.Policy)))
	c.remind = 0
	c.standing()
}

// startFetch gets the newer bloc file that another member holds. One fetch is
// under way at a time; the machine asks again while there is need.
func (c *core) startFetch(f flock.Fetch) {
	if c.n.cfg.Dial == nil || c.fetch || c.done {
		return
	}
	c.fetch = c.n.spawn(func() {
		d, err := c.n.fetchFile(f)
		if err != nil {
			c.n.log.Warn("a newer bloc file could not be had", "from", f.Addr, "version", f.Version, "err", err)
		}
		c.fetched <- d // has room for the one that is under way
	})
}

func (n *Node) fetchFile(f flock.Fetch) (*bloc.Document, error) {
	ctx, cancel := n.callContext()
	defer cancel()
	var reply *flockpb.BlocFileReply
	err := n.call(ctx, f.From, f.Addr, func(c flockpb.FlockClient) (err error) {
		reply, err = c.BlocFile(ctx, &flockpb.BlocFileRequest{}, maxFile)
		return err
	})
	if err != nil {
		return nil, err
	}
	return bloc.Parse(reply.GetFile())
}

// replace puts a fetched document in force; the policy tells of the change.
func (c *core) replace(d *bloc.Document) {
	if d == nil {
		return
	}
	ok, err := c.n.cfg.Policy.Replace(d)
	switch {
	case err != nil && crux.KindOf(err) == crux.Conflict:
		c.n.log.Debug("a bloc file was not taken", "version", d.Version, "err", err)
	case err != nil:
		c.n.log.Warn("a bloc file was not taken", "version", d.Version, "err", err)
	case ok:
		c.n.log.Info("a newer bloc file came from the flock", "version", d.Version)
	}
}
