package node

import (
	"crypto/ed25519"
	"crypto/sha256"
	"sync"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/route"
)

// verifiedKept is how many signatures are remembered in each of two generations.
const verifiedKept = 1 << 13

// verified remembers which signatures are good, so that each is checked once: by
// the goroutine that reads a link, before the machine asks. Safe for any
// goroutine.
type verified struct {
	mu       sync.Mutex
	new, old map[[32]byte]struct{}
}

// check says whether sig is key's signature of signed.
func (v *verified) check(key ed25519.PublicKey, signed, sig []byte) bool {
	b := crux.AppendField(make([]byte, 0, 12+len(key)+len(sig)+len(signed)), key)
	b = crux.AppendField(b, sig)
	sum := sha256.Sum256(crux.AppendField(b, signed))
	if v.known(sum) {
		return true
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, signed, sig) {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.new) >= verifiedKept {
		v.old, v.new = v.new, nil
	}
	if v.new == nil {
		v.new = make(map[[32]byte]struct{})
	}
	v.new[sum] = struct{}{}
	return true
}

func (v *verified) known(sum [32]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.new[sum]; ok {
		return true
	}
	_, ok := v.old[sum]
	return ok
}

// VerifyCard says whether a card is signed by the node that it names, and that is
// a member.
func (n *Node) VerifyCard(c *route.Card) bool {
	if known := n.pairs.Card(c.Node); known != nil && *known == *c {
		return true
	}
	key := n.people.Load().keys[c.Node]
	return key != nil && n.verified.check(key, crux.Labelled(route.CardLabel, c.SignedBytes()), c.Sig[:])
}

// verifyAdjacency says whether an adjacency and its card are signed by whom they
// name.
func (n *Node) verifyAdjacency(a *route.Adjacency) bool {
	return n.VerifyCard(a.Card) && n.verified.check(a.Card.Session[:], a.SignedBytes(), a.Sig[:])
}

func (n *Node) verifyCast(c *route.Card, signed []byte, sig [64]byte) bool {
	return n.verified.check(c.Session[:], signed, sig[:])
}

// prepare verifies, in the goroutine that reads a link, what the machine is going
// to have verified, as far as that is known here. What is forged the machine
// finds out.
func (n *Node) prepare(msg fabric.Message) {
	switch m := msg.(type) {
	case *route.Rows:
		for _, a := range m.Adjacencies {
			n.verifyAdjacency(a)
		}
	case *route.News:
		for i := range m.Items {
			n.prepareItem(&m.Items[i])
		}
	case *cast.Push:
		if c := n.pairs.Card(m.Body.ID.Origin); c != nil && c.Epoch == m.Body.ID.Epoch {
			n.verifyCast(c, m.Body.SignedBytes(), m.Body.Sig)
		}
	}
}

// prepareItem verifies one change, with the card that is known where it has none.
func (n *Node) prepareItem(it *route.Item) {
	a := it.Adjacency
	if a.Card != nil {
		n.verifyAdjacency(a)
	} else if c := n.pairs.Card(a.Node); c != nil && c.Epoch == a.Epoch {
		n.verified.check(c.Session[:], a.SignedBytes(), a.Sig[:])
	}
}

// Sign signs with the session key of this process, under a label that no other
// use has; Verify checks it by the key in its card.
func (n *Node) Sign(label string, msg []byte) []byte {
	return ed25519.Sign(n.session, crux.Labelled(label, msg))
}

// Verify checks what Sign made in the process of a card, which the caller has
// verified.
func (n *Node) Verify(c *route.Card, label string, msg, sig []byte) bool {
	return n.verified.check(c.Session[:], crux.Labelled(label, msg), sig)
}

// Card is the newest card of a node, be it this one, or nil.
func (n *Node) Card(id crux.NodeID) *route.Card {
	if id == n.id {
		return n.pairs.Own()
	}
	return n.pairs.Card(id)
}
