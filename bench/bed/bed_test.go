package bed

import (
	"net/netip"
	"testing"
	"time"

	"fulcrum.example/crux"
)

func TestSmallestSubnetThatHoldsAll(t *testing.T) {
	for hosts, want := range map[int]int{1: 30, 2: 30, 3: 29, 20: 27, 50: 26, 62: 26, 63: 25, 100: 25} {
		if got := prefixBits(hosts); got != want {
			t.Errorf("%d hosts: /%d, want /%d", hosts, got, want)
		}
	}
	if got := Host(netip.MustParseAddr("127.9.8.0"), 5, 7000); got.String() != "127.9.8.5:7000" {
		t.Errorf("got %s", got)
	}
}

// TestNodesFormCountAndCanBeCut also shows that a node that was cut off is
// missed by the others, and can be closed.
func TestNodesFormCountAndCanBeCut(t *testing.T) {
	b, err := New(Options{Nodes: 3, Registry: true, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "one flock", func() bool { return b.Formed(0) && b.Formed(1) && b.Formed(2) })
	if sent := b.BytesPerNode(); sent < 500 {
		t.Errorf("%v bytes were counted for a node that joined", sent)
	}
	lead := b.Leader()
	if lead < 0 {
		t.Fatal("no leader")
	}
	b.Nodes[lead].Net.Cut()
	other := b.Nodes[(lead+1)%3]
	until(t, "another leader", func() bool {
		v := other.Flock.View()
		return !v.Leader.IsZero() && v.Leader != b.Nodes[lead].ID()
	})
	if _, err := b.Nodes[lead].Net.Dial(t.Context(), other.Net.Addr()); err == nil {
		t.Error("a node that was cut off dialled")
	}
	if err := other.Put(t.Context(), crux.Endpoint{Node: other.ID(), Horde: crux.DefaultHorde, Inst: "x1_0", NetID: "127.0.0.1:1"}); err != nil {
		t.Error(err)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
