package heartbeat_test

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
	"fulcrum.example/picket/heartbeat"
)

var (
	ip    = netip.MustParseAddr("127.0.0.1")
	began = time.Unix(1000, 0)
	gal   = crux.UnitKey{Horde: "default", Inst: "galumph2_3"}
)

// fservice is a beat that holds for a second.
func fservice(inst crux.Inst, at crux.NetID, s crux.Status) crux.Fservice {
	sent := time.Unix(77, 0) // a clock of its own
	return crux.Fservice{Horde: "default", API: inst.API(), Inst: inst, NetID: at, Issued: sent, ValidUntil: sent.Add(time.Second), Status: s}
}

func table() *heartbeat.Table {
	t := heartbeat.NewTable(heartbeat.Rules{IP: ip})
	t.Join(gal)
	return t
}

func TestWhoMayBeatForWhat(t *testing.T) {
	good := fservice("galumph2_3", "127.0.0.1:9", crux.Serving)
	for name, c := range map[string]struct {
		change func(*crux.Fservice)
		kind   crux.Kind
		taken  bool
	}{
		"own":            {func(*crux.Fservice) {}, 0, true},
		"own admin":      {func(b *crux.Fservice) { b.Inst, b.API = "galumph-admin1_0", "galumph-admin1" }, 0, true},
		"own name only":  {func(b *crux.Fservice) { b.Inst, b.API = "galumphs1_0", "galumphs1" }, crux.Denied, false},
		"other version":  {func(b *crux.Fservice) { b.Inst = "galumph2_4" }, crux.Denied, false},
		"other service":  {func(b *crux.Fservice) { b.Inst, b.API = "bank1_0", "bank1" }, crux.Denied, false},
		"the node":       {func(b *crux.Fservice) { b.Inst, b.API = "node1_0", "node1" }, crux.Denied, false},
		"other horde":    {func(b *crux.Fservice) { b.Horde = "web" }, crux.Denied, false},
		"other address":  {func(b *crux.Fservice) { b.NetID = "127.0.0.2:9" }, crux.Denied, false},
		"no port":        {func(b *crux.Fservice) { b.NetID = "127.0.0.1:0" }, crux.Denied, false},
		"no address":     {func(b *crux.Fservice) { b.NetID = "here" }, crux.Invalid, false},
		"mapped address": {func(b *crux.Fservice) { b.NetID = "[::ffff:127.0.0.1]:9" }, crux.Denied, false},
		"odd spelling":   {func(b *crux.Fservice) { b.NetID = "127.0.0.1:09" }, crux.Invalid, false},
		"wrong api":      {func(b *crux.Fservice) { b.API = "galumph3" }, crux.Invalid, false},
		"no status":      {func(b *crux.Fservice) { b.Status = 0 }, crux.Invalid, false},
		"holds not":      {func(b *crux.Fservice) { b.ValidUntil = b.Issued }, crux.Invalid, false},
	} {
		b := good
		c.change(&b)
		out, refused := table().Step(began, gal, []crux.Fservice{b})
		switch {
		case c.taken && (len(out) != 1 || len(refused) != 0):
			t.Errorf("%s: %v, %v", name, out, refused)
		case !c.taken && (len(out) != 0 || len(refused) != 1 || crux.KindOf(refused[0].Err) != c.kind):
			t.Errorf("%s: %v, %v", name, out, refused)
		}
	}
}

func TestOnlyChangesComeOut(t *testing.T) {
	tab := table()
	step := func(at time.Duration, s crux.Status) []heartbeat.Change {
		out, refused := tab.Step(began.Add(at), gal, []crux.Fservice{fservice("galumph2_3", "127.0.0.1:9", s)})
		if len(refused) > 0 {
			t.Fatal(refused)
		}
		return out
	}
	if out := step(0, crux.Starting); len(out) != 1 || out[0].Status != crux.Starting {
		t.Error(out)
	}
	if out := step(100*time.Millisecond, crux.Serving); len(out) != 1 || out[0].Status != crux.Serving {
		t.Error(out)
	}
	if out := step(200*time.Millisecond, crux.Serving); len(out) != 0 {
		t.Error(out)
	}
	// The hold counts from the receipt, whatever the sender's clock says.
	if next, ok := tab.Next(); !ok || next != began.Add(1200*time.Millisecond) {
		t.Error(next)
	}
	if out := tab.Tick(began.Add(1199 * time.Millisecond)); len(out) != 0 {
		t.Error(out)
	}
	if out := tab.Draining(gal); len(out) != 1 || out[0].Status != crux.Draining {
		t.Error(out)
	}
	if out := step(300*time.Millisecond, crux.Serving); len(out) != 0 {
		t.Error("beats undo draining", out)
	}
	if out := tab.Tick(began.Add(1300 * time.Millisecond)); len(out) != 1 || out[0].Status != crux.Gone || !out[0].Missed {
		t.Error(out)
	}
	if live, missed := tab.Count(gal); live != 0 || missed != 1 {
		t.Error(live, missed)
	}
	if out := step(1400*time.Millisecond, crux.Serving); len(out) != 1 || out[0].Status != crux.Draining {
		t.Error(out)
	}
	if out := step(1500*time.Millisecond, crux.Gone); len(out) != 1 || out[0].Status != crux.Gone || out[0].Missed {
		t.Error(out)
	}
	if out := step(1600*time.Millisecond, crux.Gone); len(out) != 0 {
		t.Error(out)
	}
}

func TestAnEndpointHasOneOwner(t *testing.T) {
	tab := table()
	other := crux.UnitKey{Horde: "default", Inst: "galumph2_4"}
	b := []crux.Fservice{fservice("galumph-admin1_0", "127.0.0.1:9", crux.Serving)}
	if _, refused := tab.Step(began, other, b); len(refused) != 1 {
		t.Error("a unit that does not run was heard")
	}
	tab.Join(other)
	if out, _ := tab.Step(began, gal, b); len(out) != 1 {
		t.Error(out)
	}
	if out, refused := tab.Step(began, other, b); len(out) != 0 || len(refused) != 1 {
		t.Error(out, refused)
	}
	if out := tab.Leave(gal); len(out) != 1 || out[0].Status != crux.Gone {
		t.Error(out)
	}
	if out, refused := tab.Step(began, other, b); len(out) != 1 || len(refused) != 0 {
		t.Error(out, refused)
	}
}

func TestAUnitHasNotEndlessEndpoints(t *testing.T) {
	tab := table()
	refusals := 0
	for port := range 300 {
		at := crux.NetIDOf(netip.AddrPortFrom(ip, uint16(port+1)))
		_, refused := tab.Step(began, gal, []crux.Fservice{fservice("galumph2_3", at, crux.Serving)})
		refusals += len(refused)
	}
	if live, _ := tab.Count(gal); live != 256 || refusals != 44 {
		t.Error(live, refusals)
	}
}

// TestChangesAddUp plays random beats, and compares what the changes add up to
// with a model that keeps every beat.
func TestChangesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := heartbeat.NewTable(heartbeat.Rules{IP: ip})
		units := []crux.UnitKey{{Horde: "default", Inst: "a1_0"}, {Horde: "default", Inst: "a1_1"}}
		type last struct {
			status crux.Status
			until  time.Time
		}
		model := map[heartbeat.Endpoint]last{}
		drained := map[crux.UnitKey]bool{}
		joined := map[crux.UnitKey]bool{}
		seen := map[heartbeat.Endpoint]crux.Status{}
		now := began
		apply := func(out []heartbeat.Change) {
			for _, c := range out {
				if seen[c.At] == c.Status {
					t.Fatalf("no change: %v", c)
				}
				if seen[c.At] = c.Status; c.Status == crux.Gone {
					delete(seen, c.At)
				}
			}
		}
		withdraw := func(k crux.UnitKey) {
			maps.DeleteFunc(model, func(at heartbeat.Endpoint, _ last) bool { return at.Inst == k.Inst })
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			k := rapid.SampledFrom(units).Draw(t, "unit")
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0:
				apply(tab.Join(k))
				withdraw(k)
				joined[k], drained[k] = true, false
			case 1:
				apply(tab.Leave(k))
				withdraw(k)
				joined[k], drained[k] = false, false
			case 2:
				apply(tab.Draining(k))
				drained[k] = joined[k]
			case 3:
				now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "ms")) * time.Millisecond)
				apply(tab.Tick(now))
				maps.DeleteFunc(model, func(_ heartbeat.Endpoint, l last) bool { return !l.until.After(now) })
			default:
				at := crux.NetIDOf(netip.AddrPortFrom(ip, uint16(rapid.IntRange(1, 3).Draw(t, "port"))))
				s := crux.Status(rapid.IntRange(1, 4).Draw(t, "status"))
				out, _ := tab.Step(now, k, []crux.Fservice{fservice(k.Inst, at, s)})
				apply(out)
				e := heartbeat.Endpoint{Horde: "default", Inst: k.Inst, NetID: at}
				if joined[k] {
					if model[e] = (last{s, now.Add(time.Second)}); s == crux.Gone {
						delete(model, e)
					}
				}
			}
			want := map[heartbeat.Endpoint]crux.Status{}
			for at, l := range model {
				want[at] = l.status
				if drained[crux.UnitKey{Horde: at.Horde, Inst: at.Inst}] {
					want[at] = crux.Draining
				}
			}
			if !maps.Equal(want, seen) {
				t.Fatalf("want %v, have %v", want, seen)
			}
		}
	})
}
