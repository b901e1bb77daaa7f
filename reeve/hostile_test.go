package reeve_test

import (
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	spb "fulcrum.example/protos/steward"
)

// puppet is a steward that says what the test has it say.
type puppet struct {
	spb.UnimplementedStewardServer
	say    chan *spb.FromSteward
	joined chan struct{} // one for each stream
	to     crux.NodeID   // whom it speaks to
}

func (p *puppet) Sync(s grpc.BidiStreamingServer[spb.FromReeve, spb.FromSteward]) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	if from, err := peerOf(s.Context()); err != nil || from.Node != p.to {
		<-s.Context().Done()
		return err
	}
	p.joined <- struct{}{}
	for {
		select {
		case m := <-p.say:
			if err := s.Send(m); err != nil {
				return err
			}
		case <-s.Context().Done():
			return nil
		}
	}
}

// puppetLed is a group of two of which the first is led by a puppet.
func puppetLed(t *testing.T) (*group, *puppet) {
	g := makeGroup(t, 2, time.Minute, nil)
	p := &puppet{say: make(chan *spb.FromSteward), joined: make(chan struct{}, 100), to: g.nodes[1].id}
	g.nodes[0].instead = func(s *grpc.Server) { spb.RegisterStewardServer(s, p) }
	g.start()
	return g, p
}

func (g *group) push(epoch uint64, rows ...crux.Row) *spb.FromSteward {
	m := &spb.FromSteward{Rev: wire.RevisionTo(crux.Revision{Flock: crux.FlockID{1}, Epoch: epoch, N: 1})}
	for i := range rows {
		m.Rows = append(m.Rows, &spb.Held{Row: wire.RowTo(&rows[i])})
	}
	return m
}

// row is a row of node 0, signed by signer.
func (g *group) row(inst crux.Inst, seq uint64, st crux.Status, signer ed25519.PrivateKey) crux.Row {
	r := crux.Row{
		Node: g.nodes[0].id, Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, NetID: "127.0.0.1:1",
		Status: st, Incarnation: 1, Seq: seq, TTL: time.Minute, Key: make([]byte, 32),
	}
	r.Signature = ed25519.Sign(signer, crux.Labelled(crux.LabelRow, r.SignedBytes()))
	return r
}

func TestStewardCannotInventRows(t *testing.T) {
	t.Parallel()
	g, p := puppetLed(t)
	owner, stranger, x := g.nodes[0].key, g.nodes[1].key, g.nodes[1]
	<-p.joined
	changed := g.row("changed1_0", 2, crux.Serving, owner)
	changed.NetID = "127.0.0.1:666"
	mislabelled := g.row("mislabelled1_0", 3, crux.Serving, owner)
	mislabelled.Signature = ed25519.Sign(owner, crux.Labelled(crux.LabelDigest, mislabelled.SignedBytes()))
	p.say <- g.push(2, g.row("forged1_0", 1, crux.Serving, stranger), changed, mislabelled, g.row("good1_0", 4, crux.Serving, owner))
	eventually(t, "the good row", func() bool { return x.count("good1") == 1 })
	for _, api := range []crux.API{"forged1", "changed1", "mislabelled1"} {
		if n := x.count(api); n != 0 {
			t.Errorf("%d rows of %s, which its owner did not sign", n, api)
		}
	}
}

func TestReplayedRowChangesNothing(t *testing.T) {
	t.Parallel()
	g, p := puppetLed(t)
	key, x := g.nodes[0].key, g.nodes[1]
	<-p.joined
	old := g.row("galumph2_3", 1, crux.Serving, key)
	p.say <- g.push(2, old)
	eventually(t, "the row", func() bool { return x.count("galumph2") == 1 })
	p.say <- g.push(2, g.row("galumph2_3", 2, crux.Gone, key))
	eventually(t, "the row to go", func() bool { return x.count("galumph2") == 0 })
	p.say <- g.push(2, old, g.row("after1_0", 3, crux.Serving, key))
	eventually(t, "what came after the old row", func() bool { return x.count("after1") == 1 })
	if x.count("galumph2") != 0 {
		t.Error("a replayed row raised an endpoint that its owner had withdrawn")
	}
}

func TestStewardOfALowerEpochOrAnotherFlockIsLeft(t *testing.T) {
	t.Parallel()
	g, p := puppetLed(t)
	key, x := g.nodes[0].key, g.nodes[1]
	<-p.joined
	p.say <- g.push(7, g.row("galumph2_3", 1, crux.Serving, key))
	eventually(t, "the row", func() bool { return x.count("galumph2") == 1 })
	p.say <- g.push(6, g.row("galumph2_3", 2, crux.Gone, key))
	<-p.joined // it left that stream, and tries another
	other := g.push(9, g.row("galumph2_3", 3, crux.Gone, key))
	other.Rev.Flock = make([]byte, 16)
	other.Rev.Flock[0] = 99
	p.say <- other
	<-p.joined
	if x.count("galumph2") != 1 {
		t.Error("a push of a lower epoch, or of another flock, was taken in")
	}
	p.say <- g.push(7, g.row("galumph2_3", 2, crux.Gone, key))
	eventually(t, "the row to go by its owner's word", func() bool { return x.count("galumph2") == 0 })
}

// A steward that claims to be whole does not make this node's answers whole:
// the members' own digests do.
func TestStewardsClaimIsNotEnoughToBeWhole(t *testing.T) {
	t.Parallel()
	g, p := puppetLed(t)
	x := g.nodes[1]
	<-p.joined
	m := g.push(2, g.row("galumph2_3", 1, crux.Serving, g.nodes[0].key))
	m.Whole = true
	p.say <- m
	eventually(t, "the row", func() bool { return x.count("galumph2") == 1 })
	if x.reeve.Lookup(crux.Selector{}).Whole {
		t.Fatal("whole without the digest of the other member")
	}
	d := crux.Digest{Node: g.nodes[0].id, Incarnation: 1, Seq: 2, Count: 1, TTL: time.Minute}
	row := g.row("galumph2_3", 1, crux.Serving, g.nodes[0].key)
	d.Hash = row.SetHash()
	d.Signature = ed25519.Sign(g.nodes[0].key, crux.Labelled(crux.LabelDigest, d.SignedBytes()))
	m = g.push(2)
	m.Whole, m.Digests = true, []*spb.Digest{wire.DigestTo(&d)}
	p.say <- m
	eventually(t, "the answers to be whole", func() bool { return x.reeve.Lookup(crux.Selector{}).Whole })
}

// A reeve that reads nothing of what the steward sends must not keep the steward
// from going to sleep when another node leads.
func TestHungReeveHoldsUpNobody(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, time.Minute)
	g.allSee("none1", 0)
	hung := g.nodes[2]
	hung.stop() // its place is taken by a stream that nobody reads
	hung.conns = nil
	conn, err := grpcDial(g, hung)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := spb.NewStewardClient(conn).Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&spb.FromReeve{Hello: &spb.Hello{}}); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 { // more than the windows of the stream hold
		g.nodes[1].put(crux.Inst(fmt.Sprintf("many1_%d", i)), 1000+i)
	}
	eventually(t, "the rows at the leader", func() bool { return g.nodes[0].count("many1") == 1000 })
	g.update(func(v *crux.View) { v.Leader, v.Epoch = g.nodes[1].id, v.Epoch+1 })
	eventually(t, "the new leader's steward", func() bool { return g.nodes[0].reeve.Steward() == g.nodes[1].id })
	done := make(chan struct{})
	go func() {
		g.nodes[0].steward.Close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the old leader's steward does not end while a reeve hangs")
	}
}

func TestStreamsOfRemovedMembersEnd(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, time.Minute)
	g.allSee("none1", 0)
	conn, err := grpcDial(g, g.nodes[2])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	g.nodes[2].stop()
	s, err := spb.NewStewardClient(conn).Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&spb.FromReeve{Hello: &spb.Hello{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatalf("a member's stream: %v", err)
	}
	g.update(func(v *crux.View) {
		for i, m := range v.Members {
			if m.ID == g.nodes[2].id {
				v.Members = append(v.Members[:i:i], v.Members[i+1:]...)
				break
			}
		}
	})
	for {
		if _, err := s.Recv(); err != nil {
			if crux.KindOf(wire.FromStatus(err)) != crux.Unavailable {
				t.Errorf("the stream ended with %v", err)
			}
			return
		}
	}
}
