package dean

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fulcrum.example/crux"
)

func TestRolloutNewBesideOld(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 5)
	b.publish("galumph2_3", 3)
	b.intend("galumph2_3", 3, 1)
	b.done("galumph2_3")
	old := b.on("galumph2_3")
	if len(old) != 3 || !slices.Contains(old, b.lead) {
		t.Fatalf("2_3 on %v, leader %d", old, b.lead)
	}
	for _, n := range b.nodes {
		n.runner.slow["galumph2_4"] = true
	}
	b.publish("galumph2_4", 4)
	b.intend("galumph2_4", 3, 2)
	b.eventually("2_4 starts beside 2_3", func() bool { return slices.Equal(b.on("galumph2_4"), old) })
	for _, i := range old[:2] {
		b.nodes[i].runner.serveAll("galumph2_4")
	}
	b.eventually("two of three serve", func() bool {
		pr, err := b.nodes[b.lead].proctor.Progress(t.Context(), "", "galumph2")
		return err == nil && pr.Serving == 2 && pr.Old == 3
	})
	if got := b.on("galumph2_3"); !slices.Equal(got, old) {
		t.Fatalf("2_3 was stopped early: on %v", got)
	}
	b.nodes[old[2]].runner.serveAll("galumph2_4")
	b.done("galumph2_4")
	if got := b.on("galumph2_3"); len(got) != 0 {
		t.Fatalf("2_3 still on %v", got)
	}
	b.eventually("the old artifact is let go", func() bool {
		n := b.nodes[old[0]]
		n.artifacts.mu.Lock()
		defer n.artifacts.mu.Unlock()
		return n.artifacts.pins[crux.Checksum{3}] == 0 && n.artifacts.pins[crux.Checksum{4}] == 1
	})
}

func TestLeaderMovesInTheMiddle(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 5)
	b.publish("galumph2_3", 3)
	b.intend("galumph2_3", 3, 1)
	b.done("galumph2_3")
	old := b.on("galumph2_3")
	for _, n := range b.nodes {
		n.runner.slow["galumph2_4"] = true
	}
	b.publish("galumph2_4", 4)
	b.intend("galumph2_4", 3, 2)
	b.eventually("2_4 starts", func() bool { return slices.Equal(b.on("galumph2_4"), old) })
	b.nodes[b.lead].kill() // its services live on
	b.nodes[b.lead].member.State = crux.Lost
	was := b.lead
	b.leader((b.lead + 1) % 5)
	for _, i := range old {
		b.nodes[i].runner.serveAll("galumph2_4")
	}
	b.nodes[was].member.Incarnation++ // it is restarted, adopts its children, and is back
	b.nodes[was].member.State = crux.Alive
	b.views()
	b.nodes[was].start()
	b.done("galumph2_4")
	if on := b.on("galumph2_4"); len(on) != 3 {
		t.Fatalf("2_4 on %v", on)
	}
	for i, n := range b.nodes {
		n.runner.mu.Lock()
		if slices.Contains(n.runner.stops, "galumph2_4") && slices.Contains(old, i) && i != was {
			t.Errorf("node %d stopped the new version on the way", i)
		}
		n.runner.mu.Unlock()
	}
}

func TestANewLeaderTakesOverWithoutTouchingAnything(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 5)
	b.publish("galumph2_3", 3)
	b.intend("galumph2_3", 3, 1)
	b.done("galumph2_3")
	before := b.on("galumph2_3")
	for i := 1; i < 4; i++ {
		b.leader(i)
		b.done("galumph2_3")
	}
	if got := b.on("galumph2_3"); !slices.Equal(got, before) {
		t.Fatalf("on %v, before %v", got, before)
	}
	for i, n := range b.nodes {
		if n.runner.mu.Lock(); len(n.runner.stops) > 0 || len(n.runner.starts) > 1 {
			t.Errorf("node %d: starts %v, stops %v", i, n.runner.starts, n.runner.stops)
		}
		n.runner.mu.Unlock()
	}
}

func TestALostNodesReplicaIsPlacedElsewhereAfterTheGrace(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 4)
	b.publish("galumph2_3", 3)
	b.intend("galumph2_3", 3, 1)
	b.done("galumph2_3")
	before := b.on("galumph2_3")
	dead := before[len(before)-1] // not the leader, which is 0
	n := b.nodes[dead]
	n.kill()
	n.runner.Stop(t.Context(), crux.UnitKey{Horde: crux.DefaultHorde, Inst: "galumph2_3"}) // the machine is gone
	n.member.State = crux.Lost
	b.views()
	died := time.Now()
	b.eventually("a fourth node takes over", func() bool { return len(b.on("galumph2_3")) == 3 })
	if d := time.Since(died); d < grace {
		t.Errorf("replaced after %v, grace is %v", d, grace)
	}
	after := b.on("galumph2_3")
	n.member.State = crux.Alive
	n.member.Incarnation++
	b.views()
	n.start() // its disk says that it runs 2_3
	b.eventually("the node that came back gives its replica up", func() bool {
		return slices.Equal(b.on("galumph2_3"), after) && len(n.dean.board.get().Wanted) == 0
	})
	b.done("galumph2_3")
}

func TestDeanConformsFromDiskWithoutANetwork(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 1)
	b.publish("galumph2_3", 3)
	b.intend("galumph2_3", 1, 1)
	b.eventually("2_3 runs", func() bool { return len(b.on("galumph2_3")) == 1 })
	n := b.nodes[0]
	n.kill()
	// The machine was off: nothing runs, there is no leader, and nobody answers.
	n.runner.Stop(t.Context(), crux.UnitKey{Horde: crux.DefaultHorde, Inst: "galumph2_3"})
	n.flock.set(func(v *crux.View) *crux.View {
		alone := *v
		alone.Leader, alone.Acting, alone.Flock = crux.NodeID{}, false, crux.FlockID{}
		return &alone
	})
	n.start()
	b.eventually("2_3 runs again", func() bool { return len(b.on("galumph2_3")) == 1 })
}

func TestDeanStopsOnlyWhatItStarted(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 1)
	n := b.nodes[0]
	builtin := crux.Unit{Horde: crux.DefaultHorde, API: "pastiche1", Inst: "pastiche1_0", Kind: crux.Builtin}
	if err := n.runner.Start(t.Context(), builtin); err != nil {
		t.Fatal(err)
	}
	b.publish("galumph2_3", 3)
	b.intend("galumph2_3", 1, 1)
	b.done("galumph2_3")
	b.intend("galumph2_3", 0, 2)
	b.eventually("2_3 is stopped", func() bool { return len(b.on("galumph2_3")) == 0 })
	if !n.runner.runs("pastiche1_0") {
		t.Fatal("a built-in was stopped")
	}
}

func TestWhatNoSignedDocumentBacksIsNotStarted(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 2)
	b.publish("galumph2_3", 3)
	honest := b.nodes[1]
	for name, c := range map[string]struct {
		doc  crux.Doc
		says string
	}{
		"other checksum": {doc(crux.MusterDoc, "default/galumph2_3", 2, function("galumph2_3", 99)), "names artifact"},
		"other function": {doc(crux.MusterDoc, "default/galumph2_3", 3, func() crux.Function {
			f := function("galumph2_3", 3)
			f.Func = "Other"
			return f
		}()), "says executable Other"},
	} {
		honest.docs.put(c.doc) // what the publisher signed; the leader claims otherwise
		b.intend("galumph2_3", 2, c.doc.Version)
		b.eventually(name+" is refused and said", func() bool {
			pr, err := b.nodes[0].proctor.Progress(t.Context(), "", "galumph2")
			return err == nil && strings.Contains(pr.Text(), c.says) && strings.Contains(pr.Text(), honest.member.ID.String())
		})
		if honest.runner.runs("galumph2_3") {
			t.Fatalf("%s: it was started", name)
		}
	}
	honest.docs.put(doc(crux.MusterDoc, "default/galumph2_3", 4, function("galumph2_3", 3)))
	b.done("galumph2_3")
}

func TestIntentThatANodeDoesNotHaveIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 2)
	b.publish("galumph2_3", 3)
	b.nodes[0].docs.put(intentDoc("galumph2_3", 2, 1)) // the leader's alone
	b.eventually("the other says what it waits for", func() bool {
		pr, err := b.nodes[0].proctor.Progress(t.Context(), "", "galumph2")
		return err == nil && pr.Serving == 1 && strings.Contains(pr.Text(), "no signed intent of galumph2 is known here")
	})
	b.nodes[1].docs.put(intentDoc("galumph2_3", 2, 1))
	b.done("galumph2_3")
}

func TestALeaderWithAnOutdatedIntentChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 3)
	b.publish("galumph2_3", 3)
	b.publish("galumph2_4", 4)
	b.intend("galumph2_4", 3, 2)
	b.done("galumph2_4")
	b.nodes[1].docs.put(intentDoc("galumph2_3", 3, 1)) // it slept through version 2
	b.leader(1)
	b.eventually("the new leader sees that it is behind", func() bool {
		pr, err := b.nodes[1].proctor.Progress(t.Context(), "", "galumph2")
		return err == nil && strings.Contains(pr.Text(), "knows a newer intent")
	})
	if on := b.on("galumph2_3"); len(on) != 0 {
		t.Fatalf("2_3 was started on %v", on)
	}
	b.nodes[1].docs.put(intentDoc("galumph2_4", 3, 2))
	b.done("galumph2_4")
}

func TestFailuresAreSaidAndTriedAgain(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 3)
	n := b.nodes[0]
	n.artifacts.missing[crux.Checksum{3}] = errors.New("the artifact store cannot be reached")
	b.nodes[1].runner.refuse["galumph2_3"] = errors.New("no memory")
	b.publish("galumph2_3", 3)
	b.intend("galumph2_3", 3, 1)
	b.eventually("both errors are said", func() bool {
		pr, err := b.nodes[2].proctor.Progress(t.Context(), "", "galumph2")
		return err == nil && pr.Serving == 1 && strings.Contains(pr.Text(), "cannot be reached") && strings.Contains(pr.Text(), "no memory")
	})
	n.artifacts.mu.Lock()
	delete(n.artifacts.missing, crux.Checksum{3})
	n.artifacts.mu.Unlock()
	b.nodes[1].runner.mu.Lock()
	delete(b.nodes[1].runner.refuse, "galumph2_3")
	b.nodes[1].runner.mu.Unlock()
	b.done("galumph2_3")
}

func TestUnitThatPicketLostIsStartedAgain(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 1)
	b.publish("galumph2_3", 3)
	b.intend("galumph2_3", 1, 1)
	b.eventually("2_3 runs", func() bool { return len(b.on("galumph2_3")) == 1 })
	n := b.nodes[0]
	n.runner.Stop(t.Context(), crux.UnitKey{Horde: crux.DefaultHorde, Inst: "galumph2_3"})
	b.eventually("2_3 runs again", func() bool { return len(b.on("galumph2_3")) == 1 })
}

func TestProgressWithoutIntentOrLeader(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 2)
	b.eventually("the leader plans", func() bool {
		_, err := b.nodes[0].proctor.Progress(t.Context(), "", "galumph2")
		return crux.KindOf(err) == crux.NotFound && err != nil
	})
	if _, err := b.nodes[1].proctor.Progress(t.Context(), "", "galumph2"); crux.KindOf(err) != crux.NotFound || err == nil {
		t.Errorf("through the other node: %v", err)
	}
	b.nodes[0].flock.set(func(v *crux.View) *crux.View {
		lame := *v
		lame.Acting = false
		return &lame
	})
	b.eventually("it no longer acts", func() bool {
		_, err := b.nodes[0].proctor.Progress(t.Context(), "", "galumph2")
		return crux.KindOf(err) == crux.Unavailable
	})
}

func TestADeanMaySpeakForItsOwnNodeOnly(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 2)
	b.nodes[0].kill()
	b.peer = func(context.Context) (crux.Peer, error) { return crux.Peer{Node: b.nodes[1].member.ID}, nil }
	b.nodes[0].start() // where all connections now come from node 1
	b.publish("galumph2_3", 3)
	b.intend("galumph2_3", 2, 1)
	b.eventually("node 1 is heard", func() bool { return slices.Equal(b.on("galumph2_3"), []int{1}) })
	b.eventually("node 0 is not", func() bool {
		pr, err := b.nodes[0].proctor.Progress(t.Context(), "", "galumph2")
		return err == nil && pr.Placed == 1 && !pr.Done
	})
}

// lone makes a dean by itself, for lists that a test hands over.
func lone(t *testing.T) *conformer {
	t.Helper()
	n := &node{b: &bloc{}, artifacts: artifacts{}}
	n.flock.set(func(*crux.View) *crux.View { return &crux.View{Flock: crux.FlockID{1}} })
	n.docs.set(func(map[crux.DocKey]crux.Doc) map[crux.DocKey]crux.Doc { return nil })
	d, err := Open(Config{
		Dir: t.TempDir(), Members: &n.flock, Docs: &n.docs, Runner: &n.runner, Artifacts: &n.artifacts, Dial: n.dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	return newConformer(d, nil)
}

func TestOlderListsAndThoseOfOtherFlocksAreRefused(t *testing.T) {
	t.Parallel()
	c := lone(t)
	rev := func(f byte, epoch, n uint64) crux.Revision {
		return crux.Revision{Flock: crux.FlockID{f}, Epoch: epoch, N: n}
	}
	units := []crux.Unit{{Horde: crux.DefaultHorde, API: "galumph2", Inst: "galumph2_3", Kind: crux.Executable, Checksum: crux.Checksum{3}}}
	for i, l := range []struct {
		rev   crux.Revision
		units []crux.Unit
		ok    bool
	}{
		{rev(2, 9, 9), nil, false},  // another flock's
		{rev(1, 5, 7), units, true}, // the first
		{rev(1, 5, 7), units, true}, // the same again
		{rev(1, 5, 7), nil, false},  // the same revision, another list
		{rev(1, 5, 6), nil, false},
		{rev(1, 4, 99), nil, false}, // an old leader's
		{rev(1, 6, 1), nil, true},
	} {
		err := c.accept(list{rev: l.rev, units: l.units})
		if (err == nil) != l.ok || err != nil && crux.KindOf(err) != crux.Conflict {
			t.Errorf("list %d: %v", i, err)
		}
	}
}

func TestDamagedStateIsSetAside(t *testing.T) {
	t.Parallel()
	c := lone(t)
	dir := c.d.cfg.Dir
	if err := c.accept(list{rev: crux.Revision{Flock: crux.FlockID{1}, Epoch: 1, N: 1}}); err != nil {
		t.Fatal(err)
	}
	if d, err := Open(c.d.cfg); err != nil || d.file.Revision.Epoch != 1 {
		t.Fatalf("read back: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, stateName), []byte(`{"revision":`), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(c.d.cfg)
	if err != nil || d.file.Revision.Epoch != 0 {
		t.Fatalf("%v, %+v", err, d.file.Revision)
	}
	if _, err := os.Stat(filepath.Join(dir, stateBad)); err != nil {
		t.Error(err)
	}
}

func TestAListThatCannotBeKeptIsNotAccepted(t *testing.T) {
	t.Parallel()
	c := lone(t)
	if err := os.MkdirAll(filepath.Join(c.d.cfg.Dir, stateName, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := c.accept(list{rev: crux.Revision{Flock: crux.FlockID{1}, Epoch: 1, N: 1}})
	if err == nil || crux.KindOf(err) != crux.Unavailable || c.d.file.Revision.Epoch != 0 {
		t.Fatalf("%v, kept %+v", err, c.d.file.Revision)
	}
}

func TestServiceRoutineBeatsUntilQuit(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 1)
	n := b.nodes[0]
	n.kill()
	quit, alive, ended := make(chan bool), make(chan []crux.Fservice), make(chan struct{})
	go func() { defer close(ended); n.dean.Dean1_0(quit, alive, network{n: n}) }()
	beats := <-alive
	want := crux.NetIDOf(n.member.Addr)
	if len(beats) != 1 || beats[0].Inst != Inst || beats[0].NetID != want || beats[0].Status != crux.Serving || beats[0].Flock != b.flock {
		t.Fatalf("beat %+v", beats)
	}
	close(quit)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("it does not end")
	}
	n.kill()
	for _, c := range n.conns {
		c.Close()
	}
}
