package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"syscall"
	"testing"

	"fulcrum.example/fulcrum/local"
)

// TestIntentSurvivesPowerOff: every process of the bloc is killed at once, and
// the nodes run again what they were told to run.
func TestIntentSurvivesPowerOff(t *testing.T) {
	ctx := whole(t)
	b, before := startBloc(ctx, t, 3)
	commands(t, b.Nodes[0]).galumph(2)
	old := runners(ctx, t, b, "galumph2_3")
	if len(old) != 2 {
		t.Fatalf("%d nodes run it", len(old))
	}
	for _, n := range b.Nodes {
		endNode(t, n)
	}
	startAll(t, b)
	if s := ready(ctx, t, b); s.Flock == before.Flock {
		t.Errorf("a flock that died with all its members came back: %s", s.Flock)
	}
	servedBy(ctx, t, b, "galumph2_3", 2)
	for n, pid := range runners(ctx, t, b, "galumph2_3") {
		if old[n] == pid {
			t.Errorf("%s: process %d was killed, and is said to serve", n.Name, pid)
		}
	}
	// The inventory is there too: what was published can be rolled out.
	commands(t, b.Nodes[2]).rollout("galumph2_3", 3)
}

// TestSuspendedLeader: a leader that stops for a while is replaced; awake again
// it steps down and does no harm.
func TestSuspendedLeader(t *testing.T) {
	ctx := whole(t)
	b, before := startBloc(ctx, t, 3)
	commands(t, before.Leader).galumph(3)
	sendSignal(t, before.Leader, syscall.SIGSTOP)
	for _, n := range b.Nodes {
		if n != before.Leader {
			eventually(ctx, t, func(ctx context.Context) string {
				s, err := status(ctx, n.Dir)
				if err != nil {
					return err.Error()
				}
				if s.Leader == nil || *s.Leader == before.Leader.ID || s.Steward == nil || *s.Steward != *s.Leader {
					return n.Name + " to have a new leader and steward"
				}
				if s.Flock != before.Flock || s.Epoch <= before.Epoch {
					t.Fatalf("%s: flock %s epoch %d after %s epoch %d", n.Name, s.Flock, s.Epoch, before.Flock, before.Epoch)
				}
				return ""
			})
		}
	}
	sendSignal(t, before.Leader, syscall.SIGCONT)
	after := ready(ctx, t, b)
	if after.Leader == before.Leader || after.Flock != before.Flock || after.Members != 3 {
		t.Errorf("after it woke up: leader %s, flock %s, %d members", after.Leader.Name, after.Flock, after.Members)
	}
	servedBy(ctx, t, b, "galumph2_3", 3)
	for n := range runners(ctx, t, b, "galumph2_3") {
		if u, err := unit(ctx, n.Dir, "galumph2_3"); err != nil || u.Restarts != 0 {
			t.Errorf("%s: %+v, %v", n.Name, u, err)
		}
	}
}

// TestKilledFulcrumAdopts: its services serve on while it is away, and the next
// fulcrum in its folder takes them over as they are.
func TestKilledFulcrumAdopts(t *testing.T) {
	ctx := whole(t)
	b, _ := startBloc(ctx, t, 2)
	commands(t, b.Nodes[0]).galumph(2)
	victim := b.Nodes[1]
	before, err := unit(ctx, victim.Dir, "galumph2_3")
	if err != nil {
		t.Fatal(err)
	}
	load := call(t, b.Nodes[0])
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(before.PID, 0); err != nil {
		t.Fatalf("the service died with its fulcrum: %v", err)
	}
	if err := b.Start(victim); err != nil {
		t.Fatal(err)
	}
	ready(ctx, t, b)
	eventually(ctx, t, func(ctx context.Context) string {
		now, err := unit(ctx, victim.Dir, "galumph2_3")
		switch {
		case err != nil:
			return err.Error()
		case now.PID != before.PID || now.Restarts != before.Restarts:
			t.Fatalf("it was started again: %+v, before %+v", now, before)
		case now.State != "serving":
			return "galumph2_3 to be adopted; it is " + now.State
		}
		return ""
	})
	servedBy(ctx, t, b, "galumph2_3", 2)
	if n := load.stop(t); n.Calls == 0 || n.Failed != 0 {
		t.Errorf("the client: %+v", n)
	}
}

// TestServiceThatDiesOrHangs is replaced by picket.
func TestServiceThatDiesOrHangs(t *testing.T) {
	ctx := whole(t)
	b, _ := startBloc(ctx, t, 1)
	n := b.Nodes[0]
	commands(t, n).galumph(1)
	for i, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		before, err := unit(ctx, n.Dir, "galumph2_3")
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(before.PID, s); err != nil {
			t.Fatal(err)
		}
		eventually(ctx, t, func(ctx context.Context) string {
			now, err := unit(ctx, n.Dir, "galumph2_3")
			if err != nil {
				return err.Error()
			}
			if now.PID == before.PID || now.State != "serving" || now.Restarts != i+1 {
				return fmt.Sprintf("picket to replace process %d after %v; it has %+v", before.PID, s, now)
			}
			return ""
		})
		eventually(ctx, t, func(context.Context) string {
			if err := syscall.Kill(before.PID, 0); err == nil {
				return fmt.Sprintf("process %d to be gone", before.PID)
			}
			return ""
		})
		servedBy(ctx, t, b, "galumph2_3", 1)
	}
}

// TestLostDataFolder: a node that loses its disk is a new node. Where whoever
// holds the key may join, it joins as one; where the bloc file lists the nodes,
// it is told that it is not listed.
func TestLostDataFolder(t *testing.T) {
	ctx := whole(t)
	b, _ := startBloc(ctx, t, 3)
	lost := b.Nodes[2]
	endNode(t, lost)
	if err := os.RemoveAll(lost.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(lost.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(lost); err != nil {
		t.Fatal(err)
	}
	hinted(ctx, t, lost.Dir, `this node is not listed in its bloc file; add ed25519:\S+ there`)
	s, err := status(ctx, lost.Dir)
	if err != nil || s.Members != 1 || s.Node == lost.ID {
		t.Errorf("the node without its folder: %+v, %v", s, err)
	}
	if s, err := status(ctx, b.Nodes[0].Dir); err != nil || s.Leader == nil {
		t.Errorf("the flock: %+v, %v", s, err)
	}
}

// sendSignal sends a signal to a node's fulcrum.
func sendSignal(t *testing.T, n *local.Node, s syscall.Signal) {
	t.Helper()
	if err := n.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// devTemp is a temporary folder for dev and demo, of a short name because of the
// sockets in it. What they leave running in it fails the test.
func devTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "f")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nothingRuns(t, dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestCleanEnd: Ctrl-C ends dev, its nodes and their services, and removes what
// is temporary.
func TestCleanEnd(t *testing.T) {
	ctx := whole(t)
	tmp := devTemp(t)
	env := []string{"TMPDIR=" + tmp}
	var devs []*process
	for range 2 { // two at once, on nets of their own
		devs = append(devs, start(t, env, "dev", "--nodes", "2", "--net", testNet().String()))
	}
	for _, dev := range devs {
		dev.says(ctx, t, `bloc dev is ready: 2 nodes, one flock, leader node[12]`)
		dev.says(ctx, t, `Ctrl-C ends it`)
		export := regexp.MustCompile(`export (FULCRUM_NODE|FULCRUM_SIGN_KEY)=\S+`).FindAllString(dev.text(t), -1)
		if len(export) != 2 {
			t.Fatalf("dev says what to export %d times", len(export))
		}
		c := cli{t, []string{export[0][len("export "):], export[1][len("export "):]}}
		c.galumph(2)
		if members := c.ok("members"); len(regexp.MustCompile(`alive`).FindAllString(members, -1)) != 2 {
			t.Errorf("two blocs at once see each other:\n%s", members)
		}
	}
	for _, dev := range devs {
		dev.ends(ctx, t)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
