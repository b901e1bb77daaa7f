package node

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/rpctest"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/packet"
	"fulcrum.example/lashup/route"
)

// signer is a member's process, as far as signatures go.
type signer struct {
	node    ed25519.PrivateKey
	session ed25519.PrivateKey
	card    *route.Card
}

func newSigner(t testing.TB, i int) *signer {
	t.Helper()
	s := &signer{node: rpctest.NodeKey(i)}
	pub, session, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.session = session
	s.card = &route.Card{
		Node: crux.NodeIDOf(s.node.Public().(ed25519.PublicKey)), Epoch: 3, Inst: inst,
		Session: [32]byte(pub), Exchange: [32]byte(x.PublicKey().Bytes()),
	}
	s.card.Sig = [64]byte(ed25519.Sign(s.node, crux.Labelled(route.CardLabel, s.card.SignedBytes())))
	return s
}

func (s *signer) adjacency() *route.Adjacency {
	a := &route.Adjacency{Node: s.card.Node, Epoch: s.card.Epoch, Clock: 5, Card: s.card}
	a.Sig = [64]byte(ed25519.Sign(s.session, a.SignedBytes()))
	return a
}

// verifier is a Node that only verifies; members 1 to 3 are known to it.
func verifier(t testing.TB) *Node {
	t.Helper()
	n := &Node{}
	p := &people{keys: map[crux.NodeID]ed25519.PublicKey{}}
	for i := range 4 {
		key := rpctest.NodeKey(i).Public().(ed25519.PublicKey)
		p.keys[crux.NodeIDOf(key)] = key
	}
	n.people.Store(p)
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n.pairs = packet.NewPairs(seal.Scope{Bloc: "test"}, newSigner(t, 0).card, x, 0)
	return n
}

func TestWhatIsSignedByAnotherIsRefused(t *testing.T) {
	t.Parallel()
	n, a, b, stranger := verifier(t), newSigner(t, 1), newSigner(t, 2), newSigner(t, 9)
	if !n.VerifyCard(a.card) || !n.verifyAdjacency(a.adjacency()) {
		t.Fatal("a good card is refused")
	}
	if n.VerifyCard(stranger.card) || n.verifyAdjacency(stranger.adjacency()) {
		t.Error("a stranger's card counts")
	}
	moved := *a.card
	moved.Seq++
	if n.VerifyCard(&moved) {
		t.Error("a changed card counts")
	}
	posed := *a.card
	posed.Node = b.card.Node
	if n.VerifyCard(&posed) {
		t.Error("a card counts for another node")
	}
	adj := a.adjacency()
	adj.Clock++
	if n.verifyAdjacency(adj) {
		t.Error("a changed adjacency counts")
	}
	adj = b.adjacency()
	adj.Card = a.card
	if n.verifyAdjacency(adj) {
		t.Error("an adjacency counts under another's card")
	}
	if !n.Verify(a.card, "label", []byte("x"), (&Node{session: a.session}).Sign("label", []byte("x"))) {
		t.Error("a good signature is refused")
	}
	if n.Verify(a.card, "labe", []byte("lx"), (&Node{session: a.session}).Sign("label", []byte("x"))) {
		t.Error("a signature counts under another label")
	}
}

func TestEachSignatureIsVerifiedOnce(t *testing.T) {
	t.Parallel()
	n, a := verifier(t), newSigner(t, 1)
	n.prepare(&route.Rows{Adjacencies: []*route.Adjacency{a.adjacency()}})
	if got := len(n.verified.new); got != 2 {
		t.Fatalf("%d signatures are remembered, want those of the card and the adjacency", got)
	}
	n.learn(a.card)
	b := (&route.News{Items: []route.Item{{Adjacency: a.adjacency(), Bare: true}}}).Append(nil)
	m, err := fabric.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	n.prepare(m)
	if got := len(n.verified.new); got != 2 {
		t.Errorf("%d signatures are remembered after the same once more, without its card", got)
	}
	for i := range verifiedKept {
		n.verified.new[[32]byte{byte(i), byte(i >> 8)}] = struct{}{}
	}
	other := newSigner(t, 2)
	if !n.VerifyCard(other.card) || len(n.verified.new) != 1 || !n.VerifyCard(a.card) || !n.verifyAdjacency(a.adjacency()) {
		t.Errorf("%d new signatures are remembered, and some old ones are not", len(n.verified.new))
	}
}

// FuzzFrame does what a link's reader does with the bytes of a frame.
func FuzzFrame(f *testing.F) {
	n, a := verifier(f), newSigner(f, 1)
	n.learn(a.card)
	f.Add((&route.Rows{Adjacencies: []*route.Adjacency{a.adjacency()}}).Append(nil))
	f.Add((&route.News{Items: []route.Item{{Adjacency: a.adjacency(), Bare: true}}}).Append(nil))
	body := &cast.Body{ID: cast.ID{Origin: a.card.Node, Epoch: a.card.Epoch, Seq: 1}, Topic: "x", Payload: []byte("y")}
	f.Add((&cast.Push{Body: body, Hops: 1}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := fabric.Decode(b); err == nil {
			n.prepare(m)
		}
	})
}
