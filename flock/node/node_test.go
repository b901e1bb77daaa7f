package node

import (
	"context"
	"slices"
	"strings"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
)

func TestFiveNodesBecomeOneFlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	all := w.start(5)
	leader := together(t, all...)
	acting := 0
	for _, n := range all {
		v := n.View()
		if v.Bloc != "rack7" || v.Name != "main" || v.Self != n.ID() {
			t.Errorf("view of another: %+v", v)
		}
		if v.Acting {
			acting++
		}
		if m, ok := v.Member(n.ID()); !ok || m.Addr != n.cfg.Confab.Addr() || !m.Key.Equal(pub(n.cfg.Key)) {
			t.Errorf("the node is not among its own members: %+v", v.Members)
		}
	}
	if acting > 1 {
		t.Errorf("%d nodes act as leader", acting)
	}
	for _, n := range all {
		if n.ID() == leader {
			continue
		}
		err := n.Evict(context.Background(), all[0].ID())
		if crux.KindOf(err) != crux.Unavailable || !strings.Contains(err.Error(), leader.String()) {
			t.Errorf("evict elsewhere than at the leader: %v", err)
		}
	}
}

func TestANodeThatIsNotOfTheBlocStaysAloneAndSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stranger      func(*world) Config
		words         string // that the stranger shows
		authenticated bool
		other         string // that the others show; may be empty
	}{
		"another secondary key": {
			stranger: func(w *world) Config {
				cfg := w.config(3, w.policy(w.file(1, 1, 2, 3)))
				cfg.Secrets = []bloc.Secondary{{9}}
				return cfg
			},
			words: "use another key, bloc or flock name", other: "use another key, bloc or flock name",
		},
		"another flock name": {
			stranger: func(w *world) Config {
				d := w.file(1, 1, 2, 3)
				d.Flock = "other"
				w.sign(d)
				cfg := w.config(3, w.policy(d))
				cfg.FlockName = "other"
				return cfg
			},
			words: "use another key, bloc or flock name", other: "use another key, bloc or flock name",
		},
		"not listed": {
			stranger:      func(w *world) Config { return w.config(3, w.policy(w.file(2, 1, 2))) },
			words:         "this node is not listed",
			authenticated: true, other: "bloc file",
		},
		"an older bloc file": {
			stranger: func(w *world) Config { return w.config(3, w.policy(w.file(1, 1, 2, 3))) },
			words:    "this node's bloc file is older (version 1)",
			other:    "hold an older bloc file (version 1) than this node",
		},
		"open, among listed": {
			stranger: func(w *world) Config { return w.config(3, bloc.OpenPolicy("rack7")) },
			words:    "admit listed keys only", other: "never merge",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3)
			d := w.file(2, 1, 2)
			if name == "another secondary key" || name == "another flock name" {
				d = w.file(1, 1, 2, 3)
			} else if name == "an older bloc file" || name == "open, among listed" {
				d = w.file(2, 1, 2, 3)
			}
			a, b := w.open(w.config(1, w.policy(d))), w.open(w.config(2, w.policy(d)))
			leader := a
			if together(t, a, b) == b.ID() {
				leader = b
			}
			s := w.open(c.stranger(w))
			toldOf(t, s, c.authenticated, c.words)
			if c.other != "" {
				until(t, leader, "a hint about the stranger", func(v *crux.View) bool {
					return len(v.Hints) > 0 && strings.Contains(v.Hints[0].Text, c.other)
				})
			}
			for _, n := range []*Node{a, b} {
				if v := n.View(); len(v.Members) != 2 {
					t.Errorf("the flock has %d members", len(v.Members))
				}
			}
		})
	}
}

func TestANewerBlocFileLetsANodeIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	old, now := w.file(1, 1, 2), w.file(2, 1, 2, 3)
	pa, pb := w.policy(old), w.policy(old)
	a, b := w.open(w.config(1, pa)), w.open(w.config(2, pb))
	together(t, a, b)
	c := w.open(w.config(3, w.policy(now)))
	toldOf(t, c, false, "hold an older bloc file")
	for _, p := range []*bloc.Policy{pa, pb} {
		if ok, err := p.Replace(now); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	together(t, a, b, c)
}

func TestANodeThatWasClosedComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	all := w.start(3)
	leader := together(t, all...)
	i := 0
	for all[i].ID() == leader {
		i++
	}
	if err := all[i].Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		if n != all[i] {
			until(t, n, "the leaving", func(v *crux.View) bool { _, ok := v.Member(all[i].ID()); return !ok })
		}
	}
	if _, open := <-all[i].Watch(context.Background()); open {
		t.Error("a closed node still gives views")
	}
	if err := all[i].Evict(context.Background(), leader); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("asked after Close: %v", err)
	}
	cfg := all[i].cfg
	cfg.Incarnation++
	all[i] = w.open(cfg)
	if again := together(t, all...); again != leader {
		t.Errorf("the restarted node changed the leader from %s to %s", leader, again)
	}
}

func TestAFlockGetsANewLeaderWhenItsOwnFallsSilent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	all := w.start(4)
	leader := together(t, all...)
	for i, n := range all {
		if n.ID() == leader {
			if err := n.socket.Close(); err != nil { // no word of leaving
				t.Fatal(err)
			}
			all = append(all[:i:i], all[i+1:]...)
			break
		}
	}
	var next crux.NodeID
	for _, n := range all {
		v := until(t, n, "a new leader", func(v *crux.View) bool { return !v.Leader.IsZero() && v.Leader != leader })
		if next.IsZero() {
			next = v.Leader
		}
		if v.Leader != next {
			t.Errorf("leaders %s and %s", v.Leader, next)
		}
	}
}

func TestOnlyTheLeaderEvicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	all := w.start(3)
	leader := together(t, all...)
	var at, out *Node
	for _, n := range all {
		if n.ID() == leader {
			at = n
		} else {
			out = n
		}
	}
	until(t, at, "acting", func(v *crux.View) bool { return v.Acting })
	if err := at.Evict(context.Background(), crux.NodeID{1}); crux.KindOf(err) != crux.NotFound {
		t.Errorf("evict nobody: %v", err)
	}
	if err := at.Evict(context.Background(), out.ID()); err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		if n != out {
			until(t, n, "the eviction", func(v *crux.View) bool {
				_, ok := v.Member(out.ID())
				return !ok && slices.Equal(v.Evicted, []crux.NodeID{out.ID()})
			})
		}
	}
	until(t, out, "word of it", func(v *crux.View) bool {
		return len(v.Hints) > 0 && strings.Contains(v.Hints[0].Text, "evicted")
	})
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	good := w.config(1, w.policy(w.file(1, 1)))
	for says, change := range map[string]func(*Config){
		"Confab and Policy":   func(c *Config) { c.Policy = nil },
		"flock name \"Main\"": func(c *Config) { c.FlockName = "Main" },
		"names the flock":     func(c *Config) { c.FlockName = "other" },
		"LoadIdentity":        func(c *Config) { c.Incarnation = 0 },
		"0 secondary keys":    func(c *Config) { c.Secrets = nil },
		"all zeros":           func(c *Config) { c.Secrets = make([]bloc.Secondary, 1) },
	} {
		c := good
		change(&c)
		if _, err := Open(context.Background(), c); crux.KindOf(err) != crux.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want an Invalid error that says %q", err, says)
		}
	}
	w.open(good)
	if _, err := Open(context.Background(), good); crux.KindOf(err) != crux.Exists || !strings.Contains(err.Error(), w.addr(1).String()) {
		t.Errorf("address in use: %v", err)
	}
}
