package picket_test

import (
	"strings"
	"syscall"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/picket"
)

func builtinChild(inst crux.Inst, f string) crux.Unit {
	return crux.Unit{Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, Kind: crux.BuiltinChild, Func: f}
}

func TestABuiltinInAProcessOfItsOwnNeedsNoArtifact(t *testing.T) {
	w, p := open(t, nil)
	start(t, p, builtinChild("fabric1_0", "good"))
	s := untilServing(t, w, p, "fabric1_0")
	if s.PID == 0 || s.PID == syscall.Getpid() {
		t.Fatalf("it runs as process %d, want one of its own", s.PID)
	}
	if n := w.art.pinned(); n != 0 {
		t.Errorf("%d artifacts are pinned for a unit that has none", n)
	}
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it runs again", func() bool {
		n := status(p, "fabric1_0")
		return n.State == "serving" && n.PID != s.PID && n.Restarts == 1
	})
}

func TestABuiltinThatOutlivedItsFulcrumIsTakenUp(t *testing.T) {
	w, first := open(t, nil)
	start(t, first, builtinChild("fabric1_0", "good"))
	pid := untilServing(t, w, first, "fabric1_0").PID
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := picket.Open(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, w, second) })
	start(t, second, builtinChild("fabric1_0", "good")) // as a boot does: it runs already
	until(t, "it is served by the same process", func() bool {
		s := status(second, "fabric1_0")
		return s.State == "serving" && s.PID == pid
	})
}

func TestABuiltinThatThisFulcrumDoesNotHaveSaysSo(t *testing.T) {
	_, p := open(t, nil)
	start(t, p, builtinChild("fabric1_0", "Fabric9_9"))
	until(t, "why it does not start", func() bool {
		return strings.Contains(status(p, "fabric1_0").Error, `no built-in "Fabric9_9"`)
	})
}
