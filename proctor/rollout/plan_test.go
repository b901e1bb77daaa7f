package rollout

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
)

func id(i int) crux.NodeID { return crux.NodeID{byte(i)} }

const horde = crux.DefaultHorde

func function(inst crux.Inst, sum byte) crux.Function {
	return crux.Function{Horde: horde, API: inst.API(), Inst: inst, Kind: crux.Executable, Checksum: crux.Checksum{sum}, Func: "Galumph"}
}

func unitOf(f crux.Function) crux.Unit {
	return crux.Unit{Horde: f.Horde, API: f.API, Inst: f.Inst, Kind: f.Kind, Checksum: f.Checksum, Func: f.Func}
}

func intent(inst crux.Inst, count int) crux.Intent {
	return crux.Intent{Horde: horde, API: inst.API(), Inst: inst, Count: count}
}

var (
	f3 = function("galumph2_3", 3)
	f4 = function("galumph2_4", 4)
)

// world is a bloc that does what it is told.
type world struct {
	Input
}

func newWorld(n int) *world {
	w := &world{Input{Leader: id(1), Muster: []crux.Function{f3, f4}}}
	for i := range n {
		w.Nodes = append(w.Nodes, Node{ID: id(i + 1), State: Ready, Known: true})
	}
	return w
}

// told gives the nodes their lists; nothing serves by that alone.
func (w *world) told(out Output) {
	for i := range w.Nodes {
		if n := &w.Nodes[i]; n.State != Gone {
			n.Assigned = out.Assigned[n.ID]
		}
	}
}

// serves makes every node serve what it was told, or only some instances.
func (w *world) serves(only ...crux.Inst) {
	w.Rows = nil
	for i := range w.Nodes {
		n := &w.Nodes[i]
		n.Units = nil
		for _, u := range n.Assigned {
			if len(only) > 0 && !slices.Contains(only, u.Inst) {
				n.Units = append(n.Units, crux.UnitStatus{Unit: u, State: "starting"})
				continue
			}
			n.Units = append(n.Units, crux.UnitStatus{Unit: u, State: "serving"})
			w.Rows = append(w.Rows, crux.Row{Node: n.ID, Horde: u.Horde, API: u.API, Inst: u.Inst, Status: crux.Serving})
		}
	}
}

// settle plans and obeys until nothing changes.
func (w *world) settle(t interface{ Fatalf(string, ...any) }) Output {
	for range 50 {
		before := fmt.Sprint(w.lists(), w.Rows)
		out := Plan(w.Input)
		w.told(out)
		w.serves()
		if fmt.Sprint(w.lists(), w.Rows) == before {
			return Plan(w.Input)
		}
	}
	t.Fatalf("it never comes to rest: %v", w.lists())
	return Output{}
}

func (w *world) lists() map[crux.NodeID][]crux.Inst {
	m := make(map[crux.NodeID][]crux.Inst)
	for _, n := range w.Nodes {
		for _, u := range n.Assigned {
			m[n.ID] = append(m[n.ID], u.Inst)
		}
	}
	return m
}

// runs are the nodes that are to run inst.
func runs(out Output, inst crux.Inst) []int {
	var on []int
	for node, units := range out.Assigned {
		for _, u := range units {
			if u.Inst == inst {
				on = append(on, int(node[0]))
			}
		}
	}
	slices.Sort(on)
	return on
}

func TestReplicasGoToDistinctNodesTheLeadersAmongThem(t *testing.T) {
	w := newWorld(5)
	w.Leader = id(4)
	w.Intents = []crux.Intent{intent("galumph2_3", 3)}
	out := Plan(w.Input)
	on := runs(out, "galumph2_3")
	if len(on) != 3 || !slices.Contains(on, 4) {
		t.Fatalf("on %v", on)
	}
	if u := out.Assigned[id(4)][0]; u != unitOf(f3) {
		t.Fatalf("unit %+v", u)
	}
	if p := out.Progress[0]; p.Done || p.Placed != 3 || len(p.Waiting) != 3 {
		t.Fatalf("progress %+v", p)
	}
}

func TestMoreReplicasThanNodesIsReported(t *testing.T) {
	w := newWorld(2)
	w.Intents = []crux.Intent{intent("galumph2_3", 3)}
	out := w.settle(t)
	p := out.Progress[0]
	if p.Placed != 2 || p.Serving != 2 || p.Done || !strings.Contains(p.Text(), "2 of 3 serving; only 2 nodes can run it, one replica each") {
		t.Fatalf("%+v: %s", p, p.Text())
	}
}

func TestNewBesideOldUntilAsManyServe(t *testing.T) {
	w := newWorld(5)
	w.Intents = []crux.Intent{intent("galumph2_3", 3)}
	old := runs(w.settle(t), "galumph2_3")
	w.Intents = []crux.Intent{intent("galumph2_4", 3)}
	out := Plan(w.Input)
	if got := runs(out, "galumph2_4"); !slices.Equal(got, old) || !slices.Equal(runs(out, "galumph2_3"), old) {
		t.Fatalf("new on %v beside old on %v, want both on %v", got, runs(out, "galumph2_3"), old)
	}
	w.told(out)
	w.serves("galumph2_3")
	// The new ones come up one by one: the old stay until the third.
	for i := range 3 {
		out = Plan(w.Input)
		if !slices.Equal(runs(out, "galumph2_3"), old) {
			t.Fatalf("%d new serve and the old are on %v", i, runs(out, "galumph2_3"))
		}
		if p := out.Progress[0]; p.Serving != i || p.Old != 3 || p.Done {
			t.Fatalf("progress %+v", p)
		}
		w.Rows = append(w.Rows, crux.Row{Node: id(old[i]), Horde: horde, API: "galumph2", Inst: "galumph2_4", Status: crux.Serving})
	}
	out = Plan(w.Input)
	if len(runs(out, "galumph2_3")) != 0 {
		t.Fatalf("old still on %v", runs(out, "galumph2_3"))
	}
	if out.Progress[0].Done {
		t.Fatal("done while the old ones run")
	}
	if out = w.settle(t); !out.Progress[0].Done {
		t.Fatalf("at rest: %s", out.Progress[0].Text())
	}
}

func TestFewerNewOnesThanOldAndTheOtherWayRound(t *testing.T) {
	for _, c := range []struct{ before, after int }{{3, 1}, {1, 3}, {2, 5}, {3, 0}} {
		w := newWorld(5)
		w.Intents = []crux.Intent{intent("galumph2_3", c.before)}
		w.settle(t)
		w.Intents = []crux.Intent{intent("galumph2_4", c.after)}
		w.told(Plan(w.Input))
		need := min(c.before, c.after)
		for served := 0; served < need; served++ {
			if got := runs(Plan(w.Input), "galumph2_3"); len(got) != c.before {
				t.Fatalf("%v: with %d new, old on %v", c, served, got)
			}
			var n int
			for i, node := range w.Nodes {
				for _, u := range node.Assigned {
					has := slices.ContainsFunc(w.Rows, func(r crux.Row) bool { return r.Node == node.ID && r.Inst == u.Inst })
					if u.Inst == "galumph2_4" && !has && n == 0 {
						n = i + 1
					}
				}
			}
			w.Rows = append(w.Rows, crux.Row{Node: id(n), Horde: horde, API: "galumph2", Inst: "galumph2_4", Status: crux.Serving})
		}
		if got := runs(Plan(w.Input), "galumph2_3"); len(got) != 0 {
			t.Fatalf("%v: old still on %v", c, got)
		}
		out := w.settle(t)
		if got := len(runs(out, "galumph2_4")); got != c.after || !out.Progress[0].Done {
			t.Fatalf("%v: %d at rest, %s", c, got, out.Progress[0].Text())
		}
	}
}

func TestADrainingRowIsNoReplacement(t *testing.T) {
	w := newWorld(1)
	w.Intents = []crux.Intent{intent("galumph2_3", 1)}
	w.settle(t)
	w.Intents = []crux.Intent{intent("galumph2_4", 1)}
	w.told(Plan(w.Input))
	for _, s := range []crux.Status{crux.Starting, crux.Draining} {
		w.Rows = []crux.Row{{Node: id(1), Horde: horde, API: "galumph2", Inst: "galumph2_4", Status: s}}
		if len(runs(Plan(w.Input), "galumph2_3")) != 1 {
			t.Fatalf("a %v row replaced the old one", s)
		}
	}
}

func TestALostNodesReplicasMoveOnlyOnceItIsGoneAndDoNotFlap(t *testing.T) {
	w := newWorld(4)
	w.Intents = []crux.Intent{intent("galumph2_3", 3)}
	before := runs(w.settle(t), "galumph2_3")
	lost := &w.Nodes[before[0]-1]
	lost.State = Away
	out := Plan(w.Input)
	if !slices.Equal(runs(out, "galumph2_3"), before) {
		t.Fatalf("moved at once: %v", runs(out, "galumph2_3"))
	}
	if p := out.Progress[0]; !p.Done { // its service lives on
		t.Fatalf("progress %s", p.Text())
	}
	lost.State = Gone
	w.Rows = slices.DeleteFunc(w.Rows, func(r crux.Row) bool { return r.Node == lost.ID })
	after := runs(w.settle(t), "galumph2_3")
	if len(after) != 3 || slices.Contains(after, before[0]) {
		t.Fatalf("after it is gone: %v", after)
	}
	lost.State, lost.Returned = Ready, true // it comes back with what it had
	lost.Assigned = []crux.Unit{unitOf(f3)}
	w.serves()
	if got := runs(Plan(w.Input), "galumph2_3"); !slices.Equal(got, after) {
		t.Fatalf("on its return: %v, before %v", got, after)
	}
}

func TestANodeOnlyRowsKnowKeepsItsReplica(t *testing.T) {
	w := newWorld(4)
	w.Nodes[0] = Node{ID: id(1), State: Away} // the old leader: killed, its children serve
	w.Nodes[1].Assigned = []crux.Unit{unitOf(f3)}
	w.Intents = []crux.Intent{intent("galumph2_3", 2)}
	w.Rows = []crux.Row{
		{Node: id(1), Horde: horde, API: "galumph2", Inst: "galumph2_3", Status: crux.Serving},
		{Node: id(2), Horde: horde, API: "galumph2", Inst: "galumph2_3", Status: crux.Serving},
	}
	if on := runs(Plan(w.Input), "galumph2_3"); !slices.Equal(on, []int{1, 2}) {
		t.Fatalf("on %v", on)
	}
}

func TestWhatIsNotKnownIsLeftAlone(t *testing.T) {
	other := crux.Unit{Horde: horde, API: "other1", Inst: "other1_0", Kind: crux.Executable, Checksum: crux.Checksum{9}}
	for name, c := range map[string]struct {
		change func(*world)
		note   string
	}{
		"no intent":          {func(w *world) { w.Intents = nil }, ""},
		"no muster row":      {func(w *world) { w.Muster = nil }, "galumph2_4 is not in the muster"},
		"a newer one exists": {func(w *world) { w.Hold = map[string]string{"default/galumph2": "held"} }, "held"},
	} {
		w := newWorld(3)
		w.Nodes[0].Assigned = []crux.Unit{unitOf(f3), other}
		w.Intents = []crux.Intent{intent("galumph2_4", 2)}
		c.change(w)
		out := Plan(w.Input)
		if !slices.Equal(out.Assigned[id(1)], []crux.Unit{unitOf(f3), other}) || len(out.Assigned[id(2)]) != 0 {
			t.Errorf("%s: %v", name, out.Assigned)
		}
		if c.note != "" && (len(out.Progress) != 1 || !strings.Contains(out.Progress[0].Text(), c.note)) {
			t.Errorf("%s: %+v", name, out.Progress)
		}
	}
}

func TestProgressSaysWhoIsWaitedForAndWhy(t *testing.T) {
	w := newWorld(3)
	w.Intents = []crux.Intent{intent("galumph2_3", 3)}
	w.settle(t)
	w.Rows = w.Rows[:2]
	w.Nodes[2].Units = []crux.UnitStatus{{Unit: unitOf(f3), State: "backoff", Error: "exit status 1"}}
	p := Plan(w.Input).Progress[0]
	want := "galumph2_3: 2 of 3 serving; waiting for node " + id(3).String() + ": backoff: exit status 1"
	if p.Text() != want {
		t.Fatalf("got  %s\nwant %s", p.Text(), want)
	}
}

func TestNewBuildOfTheSameInstanceGoesRoundOneByOne(t *testing.T) {
	w := newWorld(3)
	w.Intents = []crux.Intent{intent("galumph2_3", 3)}
	w.settle(t)
	again := function("galumph2_3", 33)
	w.Muster = []crux.Function{again}
	for round := 1; round <= 3; round++ {
		out := Plan(w.Input)
		renewed := 0
		for _, units := range out.Assigned {
			if units[0] == unitOf(again) {
				renewed++
			}
		}
		if renewed != round {
			t.Fatalf("round %d: %d renewed", round, renewed)
		}
		w.told(out) // told, not serving yet: nobody else may go
		if !reflect.DeepEqual(Plan(w.Input).Assigned, out.Assigned) {
			t.Fatal("the next went before the last one served")
		}
		w.serves()
	}
}

func TestLoadIsSpread(t *testing.T) {
	w := newWorld(4)
	w.Muster = nil
	for i := range 8 {
		inst := crux.Inst(fmt.Sprintf("svc%d_0", i+1))
		w.Muster = append(w.Muster, function(inst, byte(i+1)))
		w.Intents = append(w.Intents, intent(inst, 1))
	}
	for node, units := range w.settle(t).Assigned {
		if len(units) != 2 {
			t.Errorf("node %s runs %d of 8 on 4 nodes", node, len(units))
		}
	}
}

// Whatever the bloc looks like: nothing is placed where it may not be, the
// order of the input does not matter, old versions are withdrawn only against
// enough new ones, and a bloc that obeys comes to rest where it should be.
func TestPlanProperties(t *testing.T) {
	insts := []crux.Inst{"galumph2_3", "galumph2_4", "galumph2_10", "other1_0"}
	rapid.Check(t, func(t *rapid.T) {
		w := &world{Input{Leader: id(1)}}
		for i, inst := range insts {
			w.Muster = append(w.Muster, function(inst, byte(i+1)))
		}
		for i := range rapid.IntRange(1, 7).Draw(t, "nodes") {
			n := Node{ID: id(i + 1), State: NodeState(rapid.IntRange(1, 3).Draw(t, "state")), Known: true}
			for _, f := range w.Muster {
				switch rapid.IntRange(0, 4).Draw(t, "has") {
				case 0:
					n.Assigned = append(n.Assigned, unitOf(f))
				case 1:
					n.Assigned = append(n.Assigned, unitOf(f))
					w.Rows = append(w.Rows, crux.Row{Node: n.ID, Horde: horde, API: f.API, Inst: f.Inst, Status: crux.Serving})
				}
			}
			w.Nodes = append(w.Nodes, n)
		}
		target := rapid.SampledFrom(insts[:3]).Draw(t, "target")
		count := rapid.IntRange(0, 8).Draw(t, "count")
		w.Intents = []crux.Intent{intent(target, count)}
		out := Plan(w.Input)

		shuffled := w.Input
		shuffled.Rows = rapid.Permutation(w.Rows).Draw(t, "rows")
		shuffled.Muster = rapid.Permutation(w.Muster).Draw(t, "muster")
		if !reflect.DeepEqual(Plan(shuffled), out) {
			t.Fatal("the plan depends on the order of its input")
		}
		ready, oldBefore, servingNew := 0, 0, 0
		for _, n := range w.Nodes {
			units, listed := out.Assigned[n.ID]
			if n.State == Gone {
				if listed {
					t.Fatal("a node that is gone got a list")
				}
				continue
			}
			if n.State == Ready {
				ready++
			}
			oldHere, newHere := false, false
			for _, u := range n.Assigned {
				oldHere = oldHere || u.API == "galumph2" && u.Inst != target
			}
			for _, u := range units {
				had := slices.Contains(n.Assigned, u)
				if !had && (n.State != Ready || u.Inst != target) {
					t.Fatalf("%s is new on node %s", u.Inst, n.ID)
				}
				newHere = newHere || u.Inst == target
			}
			if oldHere {
				oldBefore++
			}
			if newHere && n.State == Ready && slices.ContainsFunc(w.Rows, func(r crux.Row) bool { return r.Node == n.ID && r.Inst == target }) {
				servingNew++
			}
			for _, u := range n.Assigned {
				if u.API == "other1" && !slices.Contains(units, u) {
					t.Fatal("an API without an intent was touched")
				}
			}
		}
		oldAfter := len(runs(out, "galumph2_3")) + len(runs(out, "galumph2_4")) + len(runs(out, "galumph2_10")) - len(runs(out, target))
		if oldBefore > 0 && oldAfter == 0 && servingNew < min(count, oldBefore) {
			t.Fatalf("%d old ones withdrawn against %d new", oldBefore, servingNew)
		}
		if on := runs(out, target); len(on) > count || len(on) < min(count, ready) {
			t.Fatalf("%d wanted, %d ready, placed on %v", count, ready, on)
		}
		for i := range w.Nodes {
			if w.Nodes[i].State == Away {
				w.Nodes[i].State = Ready
			}
		}
		final := w.settle(t)
		usable := len(final.Assigned)
		if on := runs(final, target); len(on) != min(count, usable) {
			t.Fatalf("at rest on %v of %d nodes, want %d", on, usable, count)
		}
		if p := final.Progress[0]; p.Done != (count <= usable) || p.Old != 0 {
			t.Fatalf("at rest: %s", p.Text())
		}
	})
}
