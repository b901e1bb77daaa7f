package node

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"time"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/lashup/packet"
	"fulcrum.example/lashup/route"
)

const (
	// signMost bounds a request for a signature; signAgain is the wait before the
	// next.
	signMost  = 5 * time.Second
	signAgain = 250 * time.Millisecond
	// signHaste bounds it while a node is handed over: with the old card it goes
	// on as well, for a while.
	signHaste = 500 * time.Millisecond
)

// secrets are what a process has made at its start, and hands on.
type secrets struct {
	session  []byte // Ed25519 seed
	exchange *ecdh.PrivateKey
}

func newSecrets() (s secrets, err error) {
	s.session = make([]byte, ed25519.SeedSize)
	entropy(s.session)
	s.exchange, err = ecdh.X25519().GenerateKey(rand.Reader)
	return s, crux.Wrap("make keys", err)
}

// entropy fills b; crypto/rand never fails and never returns less.
func entropy(b []byte) { _, _ = rand.Read(b) }

// identify gives the process its keys, its card, and the pairs that stand on them.
func (n *Node) identify(ctx context.Context, before *state) (err error) {
	if n.secrets, err = before.secrets(); err != nil {
		return err
	}
	n.session = ed25519.NewKeyFromSeed(n.secrets.session)
	c := &route.Card{
		Node: n.id, Epoch: n.cfg.Epoch, Seq: 1, Inst: n.cfg.Inst,
		Addr: n.cfg.Sockets.Datagrams.LocalAddr(), Link: addrOf(n.cfg.Sockets.Links),
		Session: [32]byte(n.session.Public().(ed25519.PublicKey)), Exchange: [32]byte(n.secrets.exchange.PublicKey().Bytes()),
	}
	if old := before.card; old != nil {
		c, err = n.succeed(ctx, old, c)
	} else {
		c, err = n.signed(ctx, c)
	}
	if err != nil {
		return err
	}
	v := n.cfg.Network.Members().View()
	n.pairs = packet.NewPairs(seal.Scope{Bloc: v.Bloc, Name: v.Name}, c, n.secrets.exchange, before.Counter)
	return n.pairs.Resume(before.Seen)
}

// succeed gives the card of a process that goes on in another one's epoch: the
// same, or a newer one if it runs another instance. While that is not signed it
// goes on with the old one.
func (n *Node) succeed(ctx context.Context, old, c *route.Card) (*route.Card, error) {
	if c.Session != old.Session || c.Exchange != old.Exchange {
		return nil, crux.Errorf("take over", crux.Corrupt, "the keys are not those of the card")
	}
	c.Epoch, c.Seq, c.Sig = old.Epoch, old.Seq, old.Sig
	if *c == *old {
		return old, nil
	}
	c.Seq++
	haste, cancel := context.WithTimeout(ctx, signHaste)
	defer cancel()
	if s, err := n.signed(haste, c); err == nil {
		return s, nil
	}
	n.unsigned = c
	return old, nil
}

// signed has fulcrum sign a card, and waits while it is away.
func (n *Node) signed(ctx context.Context, c *route.Card) (*route.Card, error) {
	for {
		err := n.trySign(ctx, c)
		if err == nil {
			return c, nil
		}
		switch crux.KindOf(err) {
		case crux.Denied, crux.Invalid, crux.Corrupt, crux.Unknown, crux.NotSupported:
			return nil, crux.Wrap("sign card", err)
		}
		select {
		case <-n.cfg.Clock.After(signAgain):
		case <-ctx.Done():
			return nil, crux.Errorf("sign card", crux.KindOf(ctx.Err()), "this node's fulcrum does not sign it: %w", err)
		}
	}
}

func (n *Node) trySign(ctx context.Context, c *route.Card) error {
	bounded, cancel := context.WithTimeout(ctx, signMost)
	defer cancel()
	sig, err := n.cfg.Network.Keys().Sign(bounded, route.CardLabel, c.SignedBytes())
	if err == nil && len(sig) != ed25519.SignatureSize {
		return crux.Errorf("sign card", crux.Corrupt, "a signature of %d bytes came", len(sig))
	}
	copy(c.Sig[:], sig)
	return err
}

// renew has a newer card signed, however long that takes, and uses it.
func (n *Node) renew(card *route.Card) {
	for {
		ctx, cancel := n.within(time.Minute)
		s, err := n.signed(ctx, card)
		cancel()
		switch {
		case err == nil:
			n.core.enter(func(c *core) {
				c.awake(func(c *core) {
					c.n.pairs.SetOwn(s)
					c.apply(c.m.SetCard(c.n.now(), s))
				})
			})
			return
		case crux.KindOf(err) == crux.Canceled:
			return // the node ends
		case crux.KindOf(err) != crux.Timeout:
			n.log.Error("the fabric's card is not signed; others find this node by the old one", "why", err)
			return
		}
	}
}
