package picket_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/service"
	"fulcrum.example/picket"
)

// own is a fulcrum in a process of its own: it runs two services, says so, and
// lives until it is killed.
func own(dir, addr string) {
	w, err := newWorld(dir, addr)
	if err == nil {
		var p *picket.Picket
		if p, err = picket.Open(w.cfg); err == nil {
			for _, u := range []crux.Unit{unit("galumph2_3", "good"), unit("galumph2_4", "good")} {
				if err = p.Start(context.Background(), u); err != nil {
					break
				}
			}
			for err == nil && (w.rows.serving("galumph2_3") == 0 || w.rows.serving("galumph2_4") == 0) {
				<-time.After(5 * time.Millisecond)
			}
		}
	}
	fmt.Println("serving", err)
	select {}
}

// killedOwner starts own, waits until it serves, and kills it.
func killedOwner(t *testing.T, dir, addr string) {
	t.Helper()
	path, _ := self()
	cmd := exec.Command(path, ownerCommand, dir, addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "serving <nil>\n" || err != nil {
		t.Errorf("the owner said %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	cmd.Wait() // killed: an error, as wanted
}

func TestChildrenOfAKilledFulcrumAreAdopted(t *testing.T) {
	t.Parallel()
	dir, addr := dirFor(t), newAddr()
	killedOwner(t, dir, addr)
	pids := picket.Recorded(dir)
	if len(pids) != 2 {
		t.Fatalf("recorded are %v", pids)
	}
	// One of the two dies while no fulcrum runs.
	var dead, alive = "galumph2_3", crux.Inst("galumph2_4")
	r := readRecord(t, dir, dead)
	if err := syscall.Kill(r.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it is gone", func() bool { return len(picket.Recorded(dir)) == 1 })
	kept := picket.Recorded(dir)[0]

	w, err := newWorld(dir, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.ring.Close() })
	w.cfg.Log = logTo(t)
	began := time.Now()
	p, err := picket.Open(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, w, p) })
	<-p.AdoptionDone()
	t.Logf("adopted after %v", time.Since(began))
	s := untilServing(t, w, p, alive)
	if s.PID != kept || s.Restarts != 0 {
		t.Errorf("the child that lived is %+v, was %d", s, kept)
	}
	if s := untilServing(t, w, p, crux.Inst(dead)); s.Restarts != 1 || s.PID == r.PID {
		t.Errorf("the child that died is %+v", s)
	}
	start(t, p, unit(alive, "good")) // dean starts it again: nothing happens
	if s := status(p, alive); s.PID != kept {
		t.Errorf("it was started twice: %+v", s)
	}
	if err := p.Stop(t.Context(), crux.UnitKey{Horde: crux.DefaultHorde, Inst: alive}); err != nil {
		t.Fatal(err)
	}
	until(t, "the adopted process ends", func() bool { return len(picket.Recorded(dir)) == 1 })
}

type recordFile struct {
	PID    int    `json:"pid"`
	Token  string `json:"token"`
	Socket string `json:"socket"`
}

func readRecord(t *testing.T, dir, inst string) (r recordFile) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "units", inst+".json"))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCloseLeavesChildrenAndTheNextPicketTakesThemUp(t *testing.T) {
	t.Parallel()
	w, p := open(t, nil)
	start(t, p, unit("galumph2_3", "good"))
	before := untilServing(t, w, p, "galumph2_3")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := w.rows.said(); len(got) != 1 {
		t.Errorf("closing told the registry %q", got)
	}
	if err := syscall.Kill(before.PID, 0); err != nil {
		t.Fatalf("closing ended the child: %v", err)
	}
	next, err := picket.Open(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, w, next)
	<-next.AdoptionDone()
	s := untilServing(t, w, next, "galumph2_3")
	if s.PID != before.PID || s.Restarts != 0 {
		t.Errorf("before %+v, now %+v", before, s)
	}
	// What the adopted child crashes with is not known, but that it does.
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it is started again", func() bool {
		now := status(next, "galumph2_3")
		return now.State == "serving" && now.PID != before.PID && now.Restarts == 1
	})
}

func TestAdoptedChildThatStaysAwayIsReplaced(t *testing.T) {
	t.Parallel()
	w, p := open(t, func(w *world) { w.cfg.AdoptPatience = 300 * time.Millisecond; w.cfg.KillAfter = time.Second })
	start(t, p, unit("galumph2_3", "good"))
	before := untilServing(t, w, p, "galumph2_3")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(before.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	next, err := picket.Open(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, w, next)
	<-next.AdoptionDone()
	until(t, "another serves", func() bool {
		s := status(next, "galumph2_3")
		return s.State == "serving" && s.PID != before.PID
	})
}

func TestRecordsThatDoNotReadAreLeftOut(t *testing.T) {
	t.Parallel()
	dir := dirFor(t)
	if err := os.Mkdir(dir+"/units", 0o700); err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	mine := fmt.Sprintf(`{"boot":"%s","unit":{"horde":"default","api":"a1","inst":"a1_0","kind":"executable","checksum":"%s"},"pid":%d,"start":1,"token":"%s","socket":"0123abcd.sock"}`,
		strings.TrimSpace(string(boot)), strings.Repeat("0", 63)+"1", os.Getpid(), strings.Repeat("a", 64))
	for name, text := range map[string]string{
		"empty1_0.json": "", "wrong1_0.json": `{"pid":1}`, "other1_0.json": mine, "a1_0.json": mine, ".new-1": "x",
	} {
		if err := os.WriteFile(filepath.Join(dir, "units", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := picket.Recorded(dir); len(got) != 0 {
		t.Errorf("a process that started at another time counts: %v", got)
	}
}

// TestSocketWantsItsToken speaks to a child's socket as somebody else.
func TestSocketWantsItsToken(t *testing.T) {
	t.Parallel()
	w, p := open(t, nil)
	start(t, p, unit("galumph2_3", "good"))
	untilServing(t, w, p, "galumph2_3")
	r := readRecord(t, w.cfg.Dir, "galumph2_3")
	path := filepath.Join(w.cfg.Dir, "run", r.Socket)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", st, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	n, err := service.Attach(ctx, path, "stranger")
	if crux.KindOf(err) != crux.Unknown {
		t.Errorf("attached without a token: %v, %v", n, err)
	}
}

func TestAdoptedChildThatCannotBeReachedIsReplaced(t *testing.T) {
	t.Parallel()
	dir, addr := dirFor(t), newAddr()
	killedOwner(t, dir, addr)
	old := readRecord(t, dir, "galumph2_3")
	path := filepath.Join(dir, "run", old.Socket)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // no socket can be made here
		t.Fatal(err)
	}
	w, err := newWorld(dir, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.ring.Close() })
	w.cfg.Log = logTo(t)
	p, err := picket.Open(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, w, p) })
	if syscall.Kill(old.PID, 0) == nil && !zombie(old.PID) {
		t.Errorf("process %d, which cannot be reached, lives on beside its successor", old.PID)
	}
	if s := untilServing(t, w, p, "galumph2_3"); s.PID == old.PID || s.Restarts != 1 {
		t.Errorf("it is %+v", s)
	}
	<-p.AdoptionDone()
	if s := untilServing(t, w, p, "galumph2_4"); s.Restarts != 0 {
		t.Errorf("its neighbour is %+v", s)
	}
}

// zombie says whether a process has ended and was not waited for yet.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}
