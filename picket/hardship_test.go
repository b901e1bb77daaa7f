package picket_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/service"
	"fulcrum.example/picket"
)

// The pauses lie around and beyond the time that a beat of good holds (600 ms).
func TestSuspendedFulcrumDoesNotBlameItsChildren(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{700 * time.Millisecond, 900 * time.Millisecond, 2 * time.Second} {
		t.Run(pause.String(), func(t *testing.T) {
			t.Parallel()
			dir, addr := dirFor(t), newAddr()
			path, _ := self()
			owner := exec.Command(path, ownerCommand, dir, addr)
			out, err := owner.StdoutPipe()
			if err == nil {
				err = owner.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				owner.Process.Kill()
				owner.Wait() // killed: an error, as wanted
				for _, pid := range picket.Recorded(dir) {
					syscall.Kill(pid, syscall.SIGKILL)
				}
			})
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "serving <nil>\n" || err != nil {
				t.Fatalf("the owner said %q, %v", line, err)
			}
			before := picket.Recorded(dir)
			if len(before) != 2 {
				t.Fatalf("two serve, recorded are %v", before)
			}
			owner.Process.Signal(syscall.SIGSTOP)
			<-time.After(pause) // the length of the suspension is what is tested
			owner.Process.Signal(syscall.SIGCONT)
			over := time.After(2 * time.Second) // hung ones are ended within some ms
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-over:
					return
				}
				if now := picket.Recorded(dir); !slices.Equal(now, before) {
					t.Fatalf("the children are %v, were %v", now, before)
				}
			}
		})
	}
}

func TestWhatAServiceStartedEndsWithIt(t *testing.T) {
	t.Parallel()
	w, p := open(t, nil)
	start(t, p, unit("family2_3", "parent"))
	untilServing(t, w, p, "family2_3")
	pid, err := os.ReadFile(filepath.Join(w.cfg.Dir, "svc", "family2", "grandchild"))
	if err != nil {
		t.Fatal(err)
	}
	runs := func() bool { // a zombie that nobody has waited for has ended
		stat, err := os.ReadFile("/proc/" + string(pid) + "/stat")
		return err == nil && !strings.Contains(string(stat), ") Z ")
	}
	if !runs() {
		t.Fatal("the service started nothing")
	}
	if err := p.Stop(t.Context(), crux.UnitKey{Horde: crux.DefaultHorde, Inst: "family2_3"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the service's own child ends", func() bool { return !runs() })
}

func TestServicesNamesAreNotForClients(t *testing.T) {
	t.Parallel()
	w, p := open(t, nil)
	path := serveNode(t, w, p)
	for name, want := range map[string]bool{
		"galumph2": false, "galumph2.3": false, "steward1": false, "nowhere1.0": false, "fulcrum": false,
		"client": true, "rack7-client": true,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		n, err := service.Attach(ctx, path, name)
		if got := err == nil; got != want || err != nil && crux.KindOf(err) != crux.Denied {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			n.Close()
		}
		cancel()
	}
}

func TestOwnBinaryNeedsNoPath(t *testing.T) {
	t.Parallel()
	w, p := open(t, func(w *world) { w.cfg.Self = "" })
	start(t, p, unit("galumph2_3", "good"))
	untilServing(t, w, p, "galumph2_3")
}

// never gives no artifact until ctx ends.
type never struct{ *artifacts }

func (never) Fetch(ctx context.Context, _ crux.Checksum) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func TestAdoptionDoesNotWaitForTheDead(t *testing.T) {
	t.Parallel()
	dir, addr := dirFor(t), newAddr()
	killedOwner(t, dir, addr)
	if err := syscall.Kill(readRecord(t, dir, "galumph2_3").PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it is gone", func() bool { return len(picket.Recorded(dir)) == 1 })
	w, err := newWorld(dir, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.ring.Close() })
	w.cfg.Artifacts = never{w.art}
	p, err := picket.Open(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, w, p) })
	select {
	case <-p.AdoptionDone():
	case <-time.After(15 * time.Second):
		t.Error("AdoptionDone waits for the artifact of a child that is dead")
	}
}

func TestRunningLogsAreBounded(t *testing.T) {
	t.Parallel()
	w, p := open(t, func(w *world) { w.cfg.MaxLog, w.cfg.Tidy = 4<<10, 20*time.Millisecond })
	start(t, p, unit("galumph2_3", "chatty"))
	s := untilServing(t, w, p, "galumph2_3")
	log := p.Logs(s.Key())
	for round := range 2 { // the writer goes on after the cut, at the new end
		until(t, fmt.Sprintf("cut %d", round), func() bool {
			old, err := os.Stat(log + ".1")
			return err == nil && old.Size() == 4<<10
		})
		if st, err := os.Stat(log); err != nil || st.Mode().Perm() != 0o600 {
			t.Fatal(st, err)
		}
		if err := os.Remove(log + ".1"); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(log)
	if err != nil || strings.Contains(string(b), "\x00") {
		t.Errorf("the log has a hole after the cut (%v)", err)
	}
	if now := status(p, "galumph2_3"); now.PID != s.PID {
		t.Errorf("it was started again: %+v", now)
	}
}

// A folder in the record's place stands for a disk that takes no record: also
// for root, who may write anywhere.
func TestRecordIsSavedOnceTheDiskTakesIt(t *testing.T) {
	t.Parallel()
	w, p := open(t, func(w *world) { w.cfg.Tidy = 20 * time.Millisecond })
	path := filepath.Join(w.cfg.Dir, "units", "galumph2_3.json")
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	start(t, p, unit("galumph2_3", "good"))
	pid := untilServing(t, w, p, "galumph2_3").PID
	if got := picket.Recorded(w.cfg.Dir); len(got) != 0 {
		t.Fatalf("recorded are %v", got)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	until(t, "it is recorded", func() bool { return slices.Equal(picket.Recorded(w.cfg.Dir), []int{pid}) })
	if err := p.Stop(t.Context(), crux.UnitKey{Horde: crux.DefaultHorde, Inst: "galumph2_3"}); err != nil {
		t.Fatal(err)
	}
	if got := picket.Recorded(w.cfg.Dir); len(got) != 0 {
		t.Errorf("after Stop, recorded are %v", got)
	}
}
