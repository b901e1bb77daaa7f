package heartbeat_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fulcrum.example/crux"
	"fulcrum.example/picket/heartbeat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// registry remembers what it was told and fails as it is told to.
type registry struct {
	mu     sync.Mutex
	events []string
	bad    func(inst crux.Inst) bool
}

func (r *registry) say(inst crux.Inst, text string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bad != nil && r.bad(inst) {
		return crux.Errorf("publish", crux.Unavailable, "not now")
	}
	r.events = append(r.events, text)
	return nil
}

func (r *registry) Put(_ context.Context, s crux.Fservice, _ []byte, g uint32) error {
	return r.say(s.Inst, fmt.Sprintf("%s %s g%d", s.Inst, s.Status, g))
}

func (r *registry) Drop(_ context.Context, _ crux.Horde, inst crux.Inst, _ crux.NetID) error {
	return r.say(inst, string(inst)+" gone")
}

func (r *registry) heard(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.events, want) {
		t.Errorf("the registry heard %q, want %q", r.events, want)
	}
}

// inBubble runs f with a Heartbeater in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, h *heartbeat.Heartbeater, r *registry, generation *uint32)) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{}
		generation := uint32(1)
		h := heartbeat.Open(heartbeat.Config{
			Rules: heartbeat.Rules{IP: ip}, Publisher: r,
			Key: func(heartbeat.Endpoint) (ed25519.PublicKey, uint32, error) {
				return make(ed25519.PublicKey, ed25519.PublicKeySize), generation, nil
			},
		})
		defer h.Close()
		h.Join(gal)
		f(t, h, r, &generation)
	})
}

func one(s crux.Status) []crux.Fservice {
	return []crux.Fservice{fservice("galumph2_3", "127.0.0.1:9", s)}
}

func TestBeatsBecomeRowsAndExpire(t *testing.T) {
	inBubble(t, func(t *testing.T, h *heartbeat.Heartbeater, r *registry, generation *uint32) {
		for range 5 {
			h.Beat(gal, one(crux.Serving))
			time.Sleep(900 * time.Millisecond) // virtual
		}
		r.heard(t, "galumph2_3 serving g1")
		*generation = 2
		h.Beat(gal, one(crux.Serving))
		r.heard(t, "galumph2_3 serving g1", "galumph2_3 serving g2")
		live, missed, changed := h.Count(gal)
		if live != 1 || missed != 0 {
			t.Error(live, missed)
		}
		<-changed // the owner is told when the beats stop
		if live, missed, _ := h.Count(gal); live != 0 || missed != 1 {
			t.Error(live, missed)
		}
		r.heard(t, "galumph2_3 serving g1", "galumph2_3 serving g2", "galumph2_3 gone")
	})
}

func TestPublisherIsAskedUntilItTakes(t *testing.T) {
	inBubble(t, func(t *testing.T, h *heartbeat.Heartbeater, r *registry, _ *uint32) {
		failing := true
		r.bad = func(inst crux.Inst) bool { return failing && inst == "galumph2_3" }
		h.Beat(gal, one(crux.Starting))
		h.Beat(gal, []crux.Fservice{fservice("galumph-admin1_0", "127.0.0.1:10", crux.Serving)})
		time.Sleep(300 * time.Millisecond)        // virtual
		r.heard(t, "galumph-admin1_0 serving g1") // a failing one holds up no other
		h.Beat(gal, one(crux.Serving))
		synctest.Wait()
		r.mu.Lock()
		failing = false
		r.mu.Unlock()
		time.Sleep(600 * time.Millisecond)                                 // virtual
		r.heard(t, "galumph-admin1_0 serving g1", "galumph2_3 serving g1") // the newest state only
	})
}

func TestDrainingAndLeavingWaitForTheRegistry(t *testing.T) {
	inBubble(t, func(t *testing.T, h *heartbeat.Heartbeater, r *registry, _ *uint32) {
		h.Beat(gal, one(crux.Serving))
		synctest.Wait()
		h.Draining(t.Context(), gal)
		r.mu.Lock()
		said := slices.Clone(r.events)
		r.bad = func(crux.Inst) bool { return true }
		r.mu.Unlock()
		if !slices.Equal(said, []string{"galumph2_3 serving g1", "galumph2_3 draining g1"}) {
			t.Errorf("Draining returned when the registry had heard %q", said)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := time.Now()
		h.Leave(ctx, gal)
		if waited := time.Since(before); waited != time.Second {
			t.Errorf("Leave waited %v for a registry that does not answer", waited)
		}
		r.mu.Lock()
		r.bad = nil
		r.mu.Unlock()
		h.Leave(t.Context(), gal) // no longer known, yet its row is still to go
		r.heard(t, "galumph2_3 serving g1", "galumph2_3 draining g1", "galumph2_3 gone")
		h.Beat(gal, one(crux.Serving))
		r.heard(t, "galumph2_3 serving g1", "galumph2_3 draining g1", "galumph2_3 gone")
		if h.Refused() != 1 {
			t.Error(h.Refused())
		}
	})
}
