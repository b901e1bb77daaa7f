package run

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"fulcrum.example/crux"
)

func TestErrSaysHowAChildEnded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		do         func(*testing.T, *Child, *talk)
	}{
		{"status 0", "", func(t *testing.T, _ *Child, k *talk) { k.say(t, "exit", 0) }},
		{"status 3", "exit status 3", func(t *testing.T, _ *Child, k *talk) { k.say(t, "exit", 3) }},
		{"killed", "signal: killed", func(t *testing.T, c *Child, _ *talk) {
			if err := c.Signal(syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, probe)
			child := w.start(t)
			k := w.meet(t)
			if err := child.Err(); err != nil {
				t.Errorf("while it runs: %v", err)
			}
			c.do(t, child, k)
			waitDone(t, child)
			switch err := child.Err(); {
			case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			}
			if err := child.Signal(syscall.SIGTERM); crux.KindOf(err) != crux.NotFound {
				t.Errorf("signal to an ended process: %v, want NotFound", err)
			}
		})
	}
}

func TestCloseLeavesTheChildRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, probe)
	c, err := Start(w.Spec)
	if err != nil {
		t.Fatal(err)
	}
	k := w.meet(t)
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := k.tell(t, "tcp"); got != "ok" {
		t.Error(got)
	}
	select {
	case <-c.Done():
		t.Error("Done is closed though the process runs")
	default:
	}
	if err := c.Signal(syscall.SIGKILL); crux.KindOf(err) != crux.Conflict {
		t.Errorf("signal after Close: %v", err)
	}
	again, err := Adopt(c.PID(), c.StartTime())
	if err != nil {
		t.Fatal(err)
	}
	end(t, again)
}

func TestChildOutlivesAKilledFulcrumAndIsAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, probe)
	first := exec.Command(w.Self, hangCommand)
	pid, start := w.startBy(t, first)
	if err := first.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := first.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the first fulcrum ended with %v", err)
	}

	k := w.meet(t)
	if got := k.tell(t, "tcp"); got != "ok" {
		t.Errorf("the orphan: %s", got)
	}
	for _, wrong := range []uint64{0, start - 1, start + 1} {
		if c, err := Adopt(pid, wrong); crux.KindOf(err) != crux.NotFound {
			t.Errorf("adopted %v by start time %d instead of %d: %v", c, wrong, start, err)
		}
	}
	c, err := Adopt(pid, start)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, c) })
	if c.PID() != pid || c.StartTime() != start || c.Err() != nil {
		t.Errorf("%d %d %v", c.PID(), c.StartTime(), c.Err())
	}
	select {
	case <-c.Done():
		t.Error("it runs, and Done is closed")
	default:
	}
	k.say(t, "exit", 0)
	waitDone(t, c)
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("%v, want unknown", err)
	}
	if _, err := Adopt(pid, start); crux.KindOf(err) != crux.NotFound {
		t.Errorf("adopting the dead: %v, want NotFound", err)
	}
}

func TestAdoptRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, pid := range []int{0, -1} {
		if _, err := Adopt(pid, 1); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%d: %v", pid, err)
		}
	}
	if _, err := Adopt(1<<22-1, 1); crux.KindOf(err) != crux.NotFound {
		t.Errorf("%v, want NotFound", err)
	}
}

func TestParseStatSurvivesNames(t *testing.T) {
	t.Parallel()
	const rest = " S 1 2 2 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2 3"
	for _, name := range []string{"probe", "a b", "evil) R 1 (", ")))", "line\nbreak", ""} {
		got, err := parseStat([]byte("123 (" + name + ")" + rest))
		if err != nil || got.start != 98765 || got.state != 'S' {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", ")", "1 (x) S 1 2", "1 (x" + rest, "1 (x) S 1 2 2 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 -5 1"} {
		if got, err := parseStat([]byte(bad)); crux.KindOf(err) != crux.Corrupt {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
	if st, err := statOf(os.Getpid()); err != nil || st.start == 0 || st.ended() {
		t.Errorf("ourselves: %+v, %v", st, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (x) S 1 2 2 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2 3"))
	f.Fuzz(func(_ *testing.T, b []byte) { parseStat(b) }) // promises not to panic
}

// TestResidentMemory logs what a confined Go service costs.
func TestResidentMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, probe)
	began := time.Now()
	w.start(t)
	k := w.meet(t)
	for line := range strings.Lines(k.Status) {
		if strings.HasPrefix(line, "VmRSS") {
			t.Logf("running after %v with %s", time.Since(began), strings.TrimSpace(line))
			return
		}
	}
	t.Error("no VmRSS in /proc/self/status")
}
