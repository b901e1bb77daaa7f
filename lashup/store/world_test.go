package store

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	"fulcrum.example/lashup/crdt"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/store/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// net joins the stores of a test: what one sends, the others get at once.
type net struct {
	mu     sync.Mutex
	stores map[crux.NodeID]*Store
	mute   bool // multicasts are lost
}

func nodeID(i int) crux.NodeID { return crux.NodeID{byte(i), 1} }

func (n *net) get(id crux.NodeID) *Store {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stores[id]
}

func (n *net) others(id crux.NodeID) (out []*Store) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mute {
		return nil
	}
	for other, s := range n.stores {
		if other != id {
			out = append(out, s)
		}
	}
	return out
}

// config is that of node i in an incarnation.
func (n *net) config(i int, incarnation uint64, fs vfs.FS) Config {
	id := nodeID(i)
	return Config{
		Replica: replica.Config{
			Self: id, Bloc: "test", Incarnation: incarnation, Rand: rand.New(rand.NewPCG(uint64(i), incarnation)),
			Params: replica.Params{Compare: 20 * time.Millisecond},
			Sign:   func([]byte) []byte { return make([]byte, 64) },
			Verify: func(crux.NodeID, uint64, []byte, []byte, []byte) bool { return true },
			Card:   func(crux.NodeID, uint64) []byte { return []byte("card") },
		},
		FS: fs, Clock: clock.Real{},
		Send: func(to crux.NodeID, data []byte) error {
			if s := n.get(to); s != nil {
				s.Received(id, data)
			}
			return nil
		},
		Cast: func(p []byte) error {
			for _, s := range n.others(id) {
				s.Delivered(id, p)
			}
			return nil
		},
	}
}

// open opens the store of node i, which ends with the test.
func (n *net) open(t *testing.T, i int, incarnation uint64, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(n.config(i, incarnation, fs), nil)
	if err != nil {
		t.Fatal(err)
	}
	n.add(t, i, s)
	return s
}

func (n *net) add(t *testing.T, i int, s *Store) {
	t.Helper()
	n.mu.Lock()
	if n.stores == nil {
		n.stores = map[crux.NodeID]*Store{}
	}
	n.stores[nodeID(i)] = s
	n.mu.Unlock()
	t.Cleanup(func() {
		if err := s.Close(); err != nil && crux.KindOf(err) != crux.Unavailable && crux.KindOf(err) != crux.Exhausted {
			t.Errorf("close: %v", err) // but for a disk that the test has broken
		}
	})
}

// join makes neighbours and members of all stores.
func (n *net) join(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	var members []replica.Member
	for id := range n.stores {
		members = append(members, replica.Member{ID: id, Standing: replica.Stable})
	}
	n.mu.Unlock()
	for _, m := range members {
		var others []crux.NodeID
		for _, o := range members {
			if o.ID != m.ID {
				others = append(others, o.ID)
			}
		}
		s := n.get(m.ID)
		if err := s.Members(t.Context(), members); err != nil {
			t.Fatal(err)
		}
		if err := s.Neighbours(t.Context(), others); err != nil {
			t.Fatal(err)
		}
	}
}

func put(key, value string) []replica.Write {
	return []replica.Write{{Key: []string{key}, Op: crdt.Assign(crdt.LastWriter, value)}}
}

func incr(key string) []replica.Write {
	return []replica.Write{{Key: []string{key}, Op: crdt.Incr(1)}}
}

func mustWrite(t *testing.T, s *Store, w []replica.Write) replica.Version {
	t.Helper()
	v, err := s.Write(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func read(t *testing.T, s *Store, key string) crdt.Value {
	t.Helper()
	x, err := s.Get(t.Context(), []string{key})
	if err != nil {
		t.Fatal(err)
	}
	return x.Value
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

func contains(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
