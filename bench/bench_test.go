package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fulcrum.example/bench/report"
)

// tiny shows that everything is measured; its figures mean nothing. A member of
// memberlist that is left alone probes once a second: idle is longer than that.
var tiny = sizes{
	join: []int{3}, death: 4, settle: 100 * time.Millisecond,
	fabric: 10, idle: 1500 * time.Millisecond, told: 5, calm: time.Second, silent: 1,
	dials: 2, calls: 200, load: 100 * time.Millisecond,
	reeves: 3, updates: 2, rows: 100,
	artifact: 256 << 10, caches: 3,
	simulated: []int{10},
}

// TestEachBenchmarkMeasuresUsAndThePeer runs each benchmark once with very
// little to do, and all at once: they mostly wait for memberlist.
func TestEachBenchmarkMeasuresUsAndThePeer(t *testing.T) {
	for _, b := range benches {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			r, err := run(t.Context(), []bench{b}, 1, tiny, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			lines := r.Sections[0].Lines
			if len(lines) == 0 {
				t.Fatal("nothing was measured")
			}
			for _, l := range lines {
				if len(l.Ours) != 1 || l.PeerName != "" && len(l.Peer) != 1 {
					t.Errorf("%s: %d samples of ours, %d of the peer's, want one of each", l.What, len(l.Ours), len(l.Peer))
				}
				for _, s := range append(l.Ours, l.Peer...) {
					if s.Over && !mayBeLost(l) || s.Value < 0 || s.Value == 0 && !strings.Contains(l.What, "CPU") && !strings.Contains(l.What, "allocations") {
						t.Errorf("%s: a sample of %v", l.What, s)
					}
				}
			}
			check(t, b, r)
			path := filepath.Join(t.TempDir(), "out.md")
			if err := write(r, path); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{path, strings.TrimSuffix(path, ".md") + ".json"} {
				text, err := os.ReadFile(name)
				if err != nil || !strings.Contains(string(text), lines[0].What) {
					t.Errorf("%s does not say %q: %v", filepath.Base(name), lines[0].What, err)
				}
			}
		})
	}
}

// mayBeLost says that a peer's broadcast may be one of the few that never arrive.
func mayBeLost(l *report.Line) bool {
	return strings.Contains(l.What, "update known") && !l.Ours[0].Over
}

// check looks at the figures that are exact.
func check(t *testing.T, b bench, r *report.Report) {
	t.Helper()
	for _, l := range r.Sections[0].Lines {
		switch {
		case strings.Contains(l.What, "copies"):
			if l.Peer[0].Value != float64(tiny.caches) || l.Ours[0].Value < 1 || l.Ours[0].Value > l.Peer[0].Value {
				t.Errorf("%s: %v and %v", l.What, l.Ours[0], l.Peer[0])
			}
		case b.name == "sim" && l.Note == "exact":
			again, err := run(t.Context(), []bench{b}, 1, tiny, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if other := again.Sections[0].Line(l.What, report.Line{}); len(other.Ours) != 1 || other.Ours[0] != l.Ours[0] {
				t.Errorf("%s: %v, and then %v", l.What, l.Ours[0], other.Ours)
			}
		}
	}
}

func TestOnlyWhatThereIsCanBeChosen(t *testing.T) {
	if all, err := choose(""); err != nil || len(all) != len(benches) {
		t.Errorf("%d of %d benchmarks, %v", len(all), len(benches), err)
	}
	if some, err := choose("sim,join"); err != nil || len(some) != 2 || some[0].name != "sim" {
		t.Errorf("%v, %v", some, err)
	}
	if _, err := choose("join,nonsense"); err == nil || !strings.Contains(err.Error(), `"nonsense"`) {
		t.Errorf("got %v", err)
	}
}

func TestBudgetEndsRoundsAndFailureIsReported(t *testing.T) {
	slow := bench{name: "slow", budget: 0, round: simulationRound}
	r, err := run(t.Context(), []bench{slow}, 5, tiny, io.Discard)
	if err != nil || r.Sections[0].Rounds != 1 {
		t.Errorf("%d rounds, %v; want the one that always runs", r.Sections[0].Rounds, err)
	}
	wrong := tiny
	wrong.simulated = []int{0}
	r, err = run(t.Context(), []bench{simulation}, 1, wrong, io.Discard)
	if err == nil || r.Sections[0].Error == "" {
		t.Errorf("a benchmark that failed: %v, %q", err, r.Sections[0].Error)
	}
	if werr := write(r, filepath.Join(t.TempDir(), "no", "such", "folder.md")); !errors.Is(werr, os.ErrNotExist) {
		t.Errorf("got %v", werr)
	}
}
