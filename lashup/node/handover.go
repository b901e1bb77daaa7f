package node

import (
	"context"
	"encoding/json"
	"net"
	"os"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/lashup/route"
)

// Freeze prepares for another process to go on with this node: it stops, but for
// answers to pings, and gives its state (which holds keys: it is for nobody else)
// and its sockets, as Sockets.Files does. Then either Close follows, when the
// other process has opened it, or Thaw. After an error nothing has changed.
func (n *Node) Freeze(ctx context.Context) (_ []byte, files []*os.File, err error) {
	if files, err = n.cfg.Sockets.Files(); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			files = nil
		}
	}()
	if err := n.stopAccepting(); err != nil {
		return nil, nil, err
	}
	s := state{Version: stateVersion, Session: n.secrets.session, Exchange: n.secrets.exchange.Bytes()}
	var rows []*route.Adjacency
	err = n.do(ctx, func(c *core) error {
		c.thawed = make(chan struct{})
		n.frozen.Store(true)
		n.answering.Store(true)
		c.state(&s)
		c.m.Table().Each(func(a *route.Adjacency) { rows = append(rows, a) })
		return nil
	})
	if err != nil {
		return nil, nil, errJoin(err, n.Thaw(context.WithoutCancel(ctx)))
	}
	n.rosterMu.Lock()
	s.Held = n.roster.keep(n.now())
	n.rosterMu.Unlock()
	s.Counter, s.Seen = n.pairs.Freeze()
	s.Card, s.Rows = n.pairs.Own().Append(nil), encodeRows(rows)
	b, err := json.Marshal(&s)
	if err != nil {
		err = crux.Errorf("freeze", crux.Internal, "%w", err)
		return nil, nil, errJoin(err, n.Thaw(context.WithoutCancel(ctx)))
	}
	return b, files, nil
}

// state adds what only the core knows.
func (c *core) state(s *state) {
	s.Clock, s.CastSeq = c.m.Clock(), c.m.CastSeq()
	for id, l := range c.n.links {
		s.Links = append(s.Links, formerLink{id, l.dialled})
	}
	for id, d := range c.dials {
		d.cancel()
		delete(c.dials, id)
		c.later(func(c *core) { c.apply(c.m.DialFailed(c.n.now(), id)) }) // for Thaw
	}
}

// stopAccepting leaves the streams that come from now on to who has the other
// descriptor of the listener, or to Thaw.
func (n *Node) stopAccepting() error {
	n.mu.Lock()
	l := n.listeners[len(n.listeners)-1]
	n.mu.Unlock()
	f, err := fileOf(l.Listener)
	if err != nil {
		return err
	}
	defer f.Close()
	links, err := net.FileListener(f)
	if err != nil {
		return crux.Errorf("freeze", crux.Unavailable, "%w", err)
	}
	n.cfg.Sockets.Links = links
	return crux.Wrap("freeze", l.Retire())
}

// Thaw takes back what Freeze gave away.
func (n *Node) Thaw(ctx context.Context) error {
	l, err := rpc.ServePinned(n.cfg.Network, n.cfg.Inst, n.cfg.Sockets.Links)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.listeners = append(n.listeners, l)
	n.mu.Unlock()
	n.spawn(func() { n.accept(l) })
	n.pairs.Thaw()
	return n.do(ctx, func(c *core) error {
		close(c.thawed)
		c.thawed = nil
		n.frozen.Store(false)
		n.answering.Store(false)
		c.apply(c.m.Members(n.now(), n.people.Load().list))
		return nil
	})
}

// recall finds the neighbours of the process before again: those that had dialled
// do so again when its links end, and all learn this one's card.
func (c *core) recall(former []formerLink) {
	for _, f := range former {
		card := c.n.pairs.Card(f.Peer)
		if card == nil {
			continue
		}
		c.n.spawn(func() {
			ctx, cancel := c.n.within(dialMost)
			defer cancel()
			if _, err := c.n.greet(ctx, f.Peer, card.Addr); err != nil {
				c.n.log.Debug("a former neighbour does not answer", "peer", f.Peer, "why", err)
			}
		})
	}
}

func errJoin(err, again error) error {
	if again == nil {
		return err
	}
	return crux.Errorf("", crux.KindOf(err), "%w; and it cannot be taken back: %w", err, again)
}
