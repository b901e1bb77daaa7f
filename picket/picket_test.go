package picket_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/picket"
)

func TestServesAndStopsInOrder(t *testing.T) {
	t.Parallel()
	w, p := open(t, nil)
	changes := p.Watch(t.Context())
	<-changes
	u := unit("galumph2_3", "good")
	began := time.Now()
	start(t, p, u)
	s := untilServing(t, w, p, "galumph2_3")
	t.Logf("it served after %v", time.Since(began))
	<-changes
	if s.PID == 0 || s.Restarts != 0 || s.Error != "" {
		t.Errorf("status is %+v", s)
	}
	if got := picket.Recorded(w.cfg.Dir); !slices.Equal(got, []int{s.PID}) {
		t.Errorf("recorded are %v, not %d", got, s.PID)
	}
	for _, f := range []string{"units/galumph2_3.json", "log/galumph2_3.log"} {
		if st, err := os.Stat(w.cfg.Dir + "/" + f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, st, err)
		}
	}
	start(t, p, u) // does nothing
	other := u
	other.Checksum[0]++
	if err := p.Start(t.Context(), other); crux.KindOf(err) != crux.Conflict {
		t.Errorf("another artifact under the same name: %v", err)
	}
	if !p.Taken("galumph2") || !p.Taken("galumph2.3") || p.Taken("counter") {
		t.Error("the names of units are not kept from clients")
	}
	if err := p.Stop(t.Context(), u.Key()); err != nil {
		t.Fatal(err)
	}
	want := []string{"galumph2_3 serving", "galumph2_3 draining", "galumph2_3 gone"}
	if got := w.rows.said(); !slices.Equal(got, want) {
		t.Errorf("the registry heard %q", got)
	}
	if len(p.Units()) != 0 || len(picket.Recorded(w.cfg.Dir)) != 0 || w.art.pinned() != 0 {
		t.Errorf("left: %v, %d pins", p.Units(), w.art.pinned())
	}
	if err := syscall.Kill(s.PID, 0); err != syscall.ESRCH {
		t.Errorf("the process is still there: %v", err)
	}
	if err := p.Stop(t.Context(), u.Key()); err != nil {
		t.Error(err)
	}
}

func TestCrashIsStartedAgain(t *testing.T) {
	t.Parallel()
	w, p := open(t, nil)
	start(t, p, unit("crash1_0", "crash"))
	start(t, p, unit("galumph2_3", "good"))
	good := untilServing(t, w, p, "galumph2_3")
	until(t, "two restarts", func() bool { return status(p, "crash1_0").Restarts >= 2 })
	until(t, "the reason", func() bool { return strings.Contains(status(p, "crash1_0").Error, "exit status 1") })
	if err := syscall.Kill(good.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "another process serves", func() bool {
		s := status(p, "galumph2_3")
		return s.State == "serving" && s.PID != good.PID && s.Restarts == 1 && strings.Contains(s.Error, "killed")
	})
	until(t, "one row", func() bool { return w.rows.serving("galumph2_3") == 1 })
}

func TestHungIsReplaced(t *testing.T) {
	t.Parallel()
	w, p := open(t, func(w *world) { w.cfg.KillAfter = time.Second; w.cfg.StartDeadline = 5 * time.Second })
	start(t, p, unit("galumph2_3", "good"))
	before := untilServing(t, w, p, "galumph2_3")
	if err := syscall.Kill(before.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "its row is withdrawn", func() bool { return w.rows.serving("galumph2_3") == 0 })
	until(t, "another serves", func() bool {
		s := status(p, "galumph2_3")
		return s.State == "serving" && s.PID != before.PID && strings.Contains(s.Error, "heartbeats stopped")
	})
}

func TestMuteIsReplaced(t *testing.T) {
	t.Parallel()
	_, p := open(t, func(w *world) { w.cfg.StartDeadline = 500 * time.Millisecond })
	start(t, p, unit("mute1_0", "mute"))
	until(t, "a restart for want of beats", func() bool {
		s := status(p, "mute1_0")
		return s.Restarts >= 1 && strings.Contains(s.Error, "no heartbeat")
	})
}

func TestDeafIsKilledAtTheDeadline(t *testing.T) {
	t.Parallel()
	w, p := open(t, func(w *world) { w.cfg.KillAfter = 600 * time.Millisecond })
	u := unit("deaf1_0", "deaf")
	start(t, p, u)
	untilServing(t, w, p, "deaf1_0")
	before := time.Now()
	if err := p.Stop(t.Context(), u.Key()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(before); took < 600*time.Millisecond || took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
	want := []string{"deaf1_0 serving", "deaf1_0 draining", "deaf1_0 gone"}
	if got := w.rows.said(); !slices.Equal(got, want) {
		t.Errorf("the registry heard %q: it beats Serving, but drains", got)
	}
}

func TestForeignBeatsAreRefused(t *testing.T) {
	t.Parallel()
	w, p := open(t, nil)
	start(t, p, unit("foreign1_0", "foreign"))
	untilServing(t, w, p, "foreign1_0")
	if p.Refused() == 0 {
		t.Error("no beat was refused")
	}
	if slices.ContainsFunc(w.rows.said(), func(s string) bool { return strings.HasPrefix(s, "other") }) {
		t.Errorf("the registry heard %q", w.rows.said())
	}
}

func TestBrokenArtifactTouchesNobody(t *testing.T) {
	t.Parallel()
	w, p := open(t, nil)
	start(t, p, unit("galumph2_3", "good"))
	good := untilServing(t, w, p, "galumph2_3")
	bad := unit("broken1_0", "good")
	bad.Checksum = crux.Checksum{1}
	file := w.cfg.Dir + "/broken"
	if err := os.WriteFile(file, []byte("not what was published"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.art.mu.Lock()
	w.art.files[bad.Checksum] = file
	w.art.mu.Unlock()
	missing := unit("missing1_0", "good")
	missing.Checksum = crux.Checksum{2}
	start(t, p, bad)
	start(t, p, missing)
	for _, inst := range []crux.Inst{"broken1_0", "missing1_0"} {
		until(t, "its error shows", func() bool { s := status(p, inst); return s.State == "failed" && s.Error != "" })
		if e := status(p, inst).Error; strings.Contains(e, "\n") {
			t.Errorf("more than one line: %q", e)
		}
	}
	if s := status(p, "galumph2_3"); s.State != "serving" || s.PID != good.PID || s.Restarts != 0 {
		t.Errorf("a neighbour was touched: %+v", s)
	}
	if err := p.Stop(t.Context(), bad.Key()); err != nil {
		t.Error(err)
	}
}

func TestBuiltins(t *testing.T) {
	t.Parallel()
	panics := 0
	ended := make(chan string, 2)
	dir := make(chan string, 1)
	w, p := open(t, func(w *world) {
		w.cfg.Builtins = map[string]crux.Service{
			"good1_0": func(quit <-chan bool, alive chan<- []crux.Fservice, n crux.Node) {
				dir <- n.Dir()
				good(quit, alive, n)
				ended <- "good"
			},
			"panics1_0": func(quit <-chan bool, alive chan<- []crux.Fservice, n crux.Node) {
				if panics++; panics < 3 {
					panic("on purpose")
				}
				good(quit, alive, n)
			},
		}
	})
	start(t, p, builtin("good1_0", "good1_0"))
	start(t, p, builtin("panics1_0", "panics1_0"))
	if err := p.Start(t.Context(), builtin("none1_0", "none")); crux.KindOf(err) != crux.NotFound {
		t.Errorf("an unknown built-in: %v", err)
	}
	untilServing(t, w, p, "good1_0")
	s := untilServing(t, w, p, "panics1_0")
	if s.PID != 0 || s.Restarts != 2 || !strings.Contains(s.Error, "on purpose") {
		t.Errorf("status is %+v", s)
	}
	if d := <-dir; d != w.cfg.Dir+"/svc/good1" {
		t.Errorf("its folder is %s", d)
	}
	if err := p.Stop(t.Context(), crux.UnitKey{Horde: crux.DefaultHorde, Inst: "good1_0"}); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		t.Error("Stop returned before the routine ended")
	}
}

func TestShutdownEndsBuiltinsLast(t *testing.T) {
	t.Parallel()
	w, p := open(t, nil)
	p.AddBuiltin("good", good)
	start(t, p, builtin("aaa1_0", "good"))
	start(t, p, unit("zzz1_0", "good"))
	untilServing(t, w, p, "aaa1_0")
	untilServing(t, w, p, "zzz1_0")
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	said := w.rows.said()
	if slices.Index(said, "zzz1_0 gone") > slices.Index(said, "aaa1_0 draining") {
		t.Errorf("the registry heard %q", said)
	}
	if err := p.Start(t.Context(), unit("late1_0", "good")); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("start after shutdown: %v", err)
	}
}

// Dean is a built-in: what it no longer finds in the list it starts again.
func TestUnitsStayListedWhileShuttingDown(t *testing.T) {
	t.Parallel()
	w, p := open(t, nil)
	var last []crux.UnitStatus
	p.AddBuiltin("dean", func(quit <-chan bool, alive chan<- []crux.Fservice, n crux.Node) {
		good(quit, alive, n)
		last = p.Units()
	})
	start(t, p, builtin("dean1_0", "dean"))
	start(t, p, unit("galumph2_3", "good"))
	untilServing(t, w, p, "dean1_0")
	pid := untilServing(t, w, p, "galumph2_3").PID
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(last) != 2 || last[1].State != "draining" || last[1].PID != 0 {
		t.Errorf("the last that dean saw is %+v", last)
	}
	if syscall.Kill(pid, 0) == nil {
		t.Error("the service lives on")
	}
}

func TestShutdownInAHurryKills(t *testing.T) {
	t.Parallel()
	w, p := open(t, func(w *world) { w.cfg.KillAfter = time.Minute })
	start(t, p, unit("deaf1_0", "deaf"))
	s := untilServing(t, w, p, "deaf1_0")
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := p.Shutdown(ctx); crux.KindOf(err) != crux.Timeout {
		t.Errorf("shutdown says %v", err)
	}
	if err := syscall.Kill(s.PID, 0); err != syscall.ESRCH {
		t.Errorf("the process is still there: %v", err)
	}
}

func TestStrangeUnitsAreRefused(t *testing.T) {
	t.Parallel()
	_, p := open(t, nil)
	for _, u := range []crux.Unit{
		{},
		{Horde: "default", API: "galumph2", Inst: "galumph2.3", Kind: crux.Executable, Checksum: crux.Checksum{1}},
		{Horde: "default", API: "other1", Inst: "galumph2_3", Kind: crux.Executable, Checksum: crux.Checksum{1}},
		{Horde: "../x", API: "galumph2", Inst: "galumph2_3", Kind: crux.Executable, Checksum: crux.Checksum{1}},
		{Horde: "default", API: "galumph2", Inst: "galumph2_3", Kind: crux.Executable},
		{Horde: "default", API: "galumph2", Inst: "galumph2_3", Kind: "spell", Checksum: crux.Checksum{1}},
	} {
		if err := p.Start(t.Context(), u); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%+v: %v", u, err)
		}
	}
}
