package reeve_test

import (
	"crypto/ed25519"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	spb "fulcrum.example/protos/steward"
)

// digestOf is a digest of node 0 that counts rows, signed by signer (nil: by
// nobody).
func (g *group) digestOf(seq uint64, signer ed25519.PrivateKey, rows ...crux.Row) *spb.Digest {
	d := crux.Digest{Node: g.nodes[0].id, Incarnation: 1, Seq: seq, Complete: true, Count: uint32(len(rows)), TTL: time.Minute, Signature: make([]byte, 64)}
	for i := range rows {
		h := rows[i].SetHash()
		for j := range h {
			d.Hash[j] ^= h[j]
		}
	}
	if signer != nil {
		d.Signature = ed25519.Sign(signer, crux.Labelled(crux.LabelDigest, d.SignedBytes()))
	}
	return wire.DigestTo(&d)
}

func TestForgedDigestOfAKnownSequenceErasesNothing(t *testing.T) {
	t.Parallel()
	g, p := puppetLed(t)
	key, x := g.nodes[0].key, g.nodes[1]
	<-p.joined
	row := g.row("galumph2_3", 1, crux.Serving, key)
	m := g.push(2, row)
	m.Digests, m.Full = []*spb.Digest{g.digestOf(2, key, row)}, [][]byte{wire.NodeIDTo(row.Node)}
	p.say <- m
	eventually(t, "the row", func() bool { return x.count("galumph2") == 1 })
	// The same sequence, an empty set, and nobody's signature.
	m = g.push(2, g.row("after1_0", 3, crux.Serving, key))
	m.Digests, m.Full = []*spb.Digest{g.digestOf(2, nil)}, [][]byte{wire.NodeIDTo(row.Node)}
	p.say <- m
	eventually(t, "what came beside the forged digest", func() bool { return x.count("after1") == 1 })
	if x.count("galumph2") != 1 {
		t.Error("a steward erased a row with a digest that nobody signed")
	}
}
