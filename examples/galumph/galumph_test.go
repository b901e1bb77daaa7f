package galumph

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/rpc/rpctest"
	pb "fulcrum.example/protos/galumph"
	"fulcrum.example/reeve/keys"
)

func TestBothVersionsServeTheirTable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	self := rpctest.MemberOf(rpctest.NodeKey(0), netip.MustParseAddrPort("127.0.0.1:7000"))
	policy := rpctest.NewPolicy("test", self.Key)
	policy.Allow("client", "galumph2", true)
	members := rpctest.NewMembers(self.ID, self)
	ring, err := keys.New(keys.Config{NodeKey: rpctest.NodeKey(0), Policy: policy, Members: members})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	rows := &rpctest.Registry{}
	node := func(service string) *rpctest.Node {
		return &rpctest.Node{Self: self, Name: service, Rows: rows, View: members, Secrets: ring.For(service, crux.DefaultHorde)}
	}
	for inst, f := range map[crux.Inst]crux.Service{"galumph2_3": Galumph2_3, "galumph2_4": Galumph2_4} {
		quit, alive, ended := make(chan bool), make(chan []crux.Fservice), make(chan struct{})
		go func() {
			defer close(ended)
			f(quit, alive, node(string(inst)))
		}()
		rows.Beat(self.ID, <-alive)

		cc, err := rpc.Connect(node("client"), crux.Selector{Inst: inst, API: inst.API()}, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := pb.NewGalumphClient(cc)
		for _, name := range []string{"jabberwock", "bandersnatch"} {
			if _, err := c.Register(ctx, &pb.GalumphInstance{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Register(ctx, &pb.GalumphInstance{}); crux.KindOf(err) != crux.Invalid {
			t.Fatalf("an entry without a name: %v", err)
		}
		r, err := c.Table(ctx, &pb.TableReq{Limit: 1})
		if err != nil || r.GetInst() != string(inst) || r.GetNode() != self.ID.String() ||
			len(r.GetEntries()) != 1 || r.GetEntries()[0].GetName() != "bandersnatch" {
			t.Fatalf("%s: table %v, %v", inst, r, err)
		}
		cc.Close()

		close(quit)
		for over := false; !over; {
			select {
			case b := <-alive:
				rows.Beat(self.ID, b)
			case <-ended:
				over = true
			}
		}
	}
	if left := rows.Lookup(crux.Selector{}).Rows; len(left) != 0 {
		t.Fatalf("rows are left: %v", left)
	}
}

func TestTableIsBounded(t *testing.T) {
	t.Parallel()
	g := &table{}
	for range 3 * maxEntries {
		if _, err := g.Register(context.Background(), &pb.GalumphInstance{Name: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(g.entries) > maxEntries || g.total != 3*maxEntries {
		t.Fatalf("%d entries of %d", len(g.entries), g.total)
	}
}
