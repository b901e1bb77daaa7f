package picket_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/picket"
)

func TestTheSameInstanceInTwoHordes(t *testing.T) {
	t.Parallel()
	w, p := open(t, nil)
	here, there := unit("galumph2_3", "good"), unit("galumph2_3", "good")
	there.Horde = "web"
	start(t, p, here)
	start(t, p, there)
	until(t, "both serve", func() bool { return w.rows.serving("galumph2_3") == 2 })
	for _, f := range []string{"svc/galumph2", "svc/galumph2@web", "log/galumph2_3.log", "log/galumph2_3@web.log", "units/galumph2_3@web.json"} {
		if _, err := os.Stat(filepath.Join(w.cfg.Dir, f)); err != nil {
			t.Error(err)
		}
	}
	if err := p.Stop(t.Context(), there.Key()); err != nil {
		t.Fatal(err)
	}
	if n := w.rows.serving("galumph2_3"); n != 1 || len(p.Units()) != 1 {
		t.Errorf("%d serve, units are %v", n, p.Units())
	}
}

func TestLongLogsAreMovedAside(t *testing.T) {
	t.Parallel()
	w, p := open(t, func(w *world) { w.cfg.MaxLog = 100 })
	u := unit("galumph2_3", "good")
	log := p.Logs(u.Key())
	old := bytes.Repeat([]byte("old\n"), 50)
	if err := os.WriteFile(log, old, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, p, u)
	untilServing(t, w, p, "galumph2_3")
	if b, err := os.ReadFile(log + ".1"); err != nil || !bytes.Equal(b, old) {
		t.Errorf("the old log: %q, %v", b, err)
	}
	if b, err := os.ReadFile(log); err != nil || bytes.Contains(b, []byte("old")) {
		t.Errorf("the new log: %q, %v", b, err)
	}
}

func TestPausesGrow(t *testing.T) {
	t.Parallel()
	var starts []time.Time
	enough := make(chan struct{})
	_, p := open(t, func(w *world) {
		w.cfg.MinBackoff, w.cfg.MaxBackoff = 20*time.Millisecond, 160*time.Millisecond
		w.cfg.Builtins = map[string]crux.Service{"ends": func(<-chan bool, chan<- []crux.Fservice, crux.Node) {
			if starts = append(starts, time.Now()); len(starts) == 6 {
				close(enough)
			}
		}}
	})
	u := builtin("ends1_0", "ends")
	start(t, p, u)
	<-enough
	if err := p.Stop(t.Context(), u.Key()); err != nil {
		t.Fatal(err)
	}
	want := 20 * time.Millisecond
	for i := 1; i < 6; i++ {
		if pause := starts[i].Sub(starts[i-1]); pause < want*3/4 {
			t.Errorf("pause %d was %v, at least %v is wanted", i, pause, want*3/4)
		}
		want = min(2*want, 160*time.Millisecond)
	}
}

// TestBuiltinThatDoesNotEnd shows that it holds up neither Stop nor Close.
func TestBuiltinThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w, p := open(t, func(w *world) {
		w.cfg.KillAfter = 200 * time.Millisecond
		w.cfg.Builtins = map[string]crux.Service{"stuck": func(_ <-chan bool, alive chan<- []crux.Fservice, n crux.Node) {
			beat(alive, n, n.Service(), crux.Serving)
			<-release
		}}
	})
	defer close(release)
	start(t, p, builtin("stuck1_0", "stuck"))
	start(t, p, builtin("stuck2_0", "stuck"))
	untilServing(t, w, p, "stuck1_0")
	untilServing(t, w, p, "stuck2_0")
	if err := p.Stop(t.Context(), crux.UnitKey{Horde: crux.DefaultHorde, Inst: "stuck1_0"}); err != nil {
		t.Error(err)
	}
	until(t, "the other counts as failed", func() bool {
		s := status(p, "stuck2_0")
		return s.State == "failed" && strings.Contains(s.Error, "heartbeats stopped")
	})
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []picket.Config{{}, {Dir: "relative"}, {Dir: "/tmp"}} {
		if _, err := picket.Open(c); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
