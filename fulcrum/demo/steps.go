package demo

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/local"
	"fulcrum.example/fulcrum/operator"
)

// build compiles the example service and its client, as its user would.
func (d *demo) build(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(d.opts.Source, "examples", "galumph")); err != nil {
		return crux.Errorf("build", crux.NotFound,
			"examples/galumph is not in %s: run the demo in the project's root, or name it with --source", d.opts.Source)
	}
	for _, name := range []string{"galumph2_3", "galumph2_4", "client"} {
		d.bin[name] = d.path(name)
		cmd := exec.CommandContext(ctx, "go", "build", "-o", d.bin[name], "./examples/galumph/"+name)
		cmd.Dir = d.opts.Source
		if out, err := cmd.CombinedOutput(); err != nil {
			return crux.Errorf("build", crux.Invalid, "go build ./examples/galumph/%s: %w\n%s", name, err, out)
		}
	}
	return nil
}

// on runs f with a client of a node.
func on(n *local.Node, f func(c *operator.Client) error) error {
	c, err := n.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

func (d *demo) keys() []ed25519.PrivateKey { return []ed25519.PrivateKey{d.bloc.Key} }

func (d *demo) publish(ctx context.Context, inst crux.Inst) error {
	return on(d.state.Leader, func(c *operator.Client) error {
		fn := "G" + strings.TrimPrefix(string(inst), "g")
		p, err := c.Publish(ctx, d.bin[string(inst)], horde, inst, fn, d.keys())
		if err == nil {
			d.comment = fmt.Sprintf("%.1f MiB, sha256 %.16s…, in %s", float64(p.Size)/(1<<20), p.Checksum, p.Stored)
		}
		return err
	})
}

func (d *demo) publish23(ctx context.Context) error { return d.publish(ctx, "galumph2_3") }
func (d *demo) publish24(ctx context.Context) error { return d.publish(ctx, "galumph2_4") }

// conform rolls an instance out and waits until the nodes conform.
func (d *demo) conform(ctx context.Context, inst crux.Inst) error {
	return on(d.state.Leader, func(c *operator.Client) error {
		version, err := c.Rollout(ctx, horde, inst, replicas, d.keys())
		if err != nil {
			return err
		}
		return c.Follow(ctx, horde, inst, version, func(operator.Progress) {})
	})
}

func (d *demo) start23(ctx context.Context) error {
	if err := d.conform(ctx, "galumph2_3"); err != nil {
		return err
	}
	at, err := d.serving(ctx, d.state.Leader, "galumph2_3")
	if err != nil {
		return err
	}
	if len(at) != replicas || at[d.state.Leader.ID] == "" {
		return crux.Errorf("place", crux.Internal, "galumph2_3 serves on %d nodes, and on the leader's at %q", len(at), at[d.state.Leader.ID])
	}
	d.comment = "on " + d.names(at)
	return nil
}

// serving says where an instance serves, as a node's registry has it.
func (d *demo) serving(ctx context.Context, n *local.Node, inst crux.Inst) (map[crux.NodeID]crux.NetID, error) {
	at := map[crux.NodeID]crux.NetID{}
	err := on(n, func(c *operator.Client) error {
		rows, err := c.Services(ctx, crux.Selector{Inst: inst})
		for _, r := range rows {
			if r.Status == crux.Serving.String() {
				at[r.Node] = r.NetID
			}
		}
		return err
	})
	return at, err
}

func (d *demo) names(at map[crux.NodeID]crux.NetID) string {
	var names []string
	for _, n := range d.bloc.Nodes {
		if at[n.ID] != "" {
			names = append(names, n.Name)
		}
	}
	return strings.Join(names, ", ")
}

// connect starts the client and waits for its first answers.
func (d *demo) connect(ctx context.Context) (err error) {
	if d.client, err = startClient(d.bin["client"], d.state.Leader.Socket(), d.path("client.log")); err != nil {
		return err
	}
	return d.client.await(ctx, func(c counts) string {
		if c.ByInst["galumph2_3"] < 100 {
			return "the client's first calls to be answered by galumph2_3"
		}
		return ""
	})
}

// rollout replaces 2_3 by 2_4 under load.
func (d *demo) rollout(ctx context.Context) error {
	d.base = d.client.counts()
	start := time.Now()
	if err := d.conform(ctx, "galumph2_4"); err != nil {
		return err
	}
	old := d.client.counts().ByInst["galumph2_3"]
	err := d.client.await(ctx, func(c counts) string {
		still := c.ByInst["galumph2_3"] != old
		old = c.ByInst["galumph2_3"]
		if still || c.ByInst["galumph2_4"] == 0 {
			return "the client's calls to move to galumph2_4"
		}
		return ""
	})
	if err != nil {
		return err
	}
	d.sum.RolloutS = round(time.Since(start))
	// Enough calls over the new version before the next step, to say "none".
	err = d.client.await(ctx, func(c counts) string {
		if c.Calls-d.base.Calls < wantCalls/2 {
			return "more calls"
		}
		return ""
	})
	if err != nil {
		return err
	}
	c := d.client.counts()
	d.comment = fmt.Sprintf("%d calls meanwhile, %d failed; now answered by galumph2_4", c.Calls-d.base.Calls, c.FailedAll-d.base.FailedAll)
	return d.noneFailed(d.base)
}

// noneFailed is an error if calls have failed since then.
func (d *demo) noneFailed(since counts) error {
	c := d.client.counts()
	if n := c.FailedAll - since.FailedAll; n > 0 {
		return crux.Errorf("calls", crux.Internal, "%d of %d failed, the last with: %s", n, c.Calls-since.Calls, c.LastError)
	}
	return nil
}

// killLeader kills the leader's fulcrum and waits for the others to be whole.
func (d *demo) killLeader(ctx context.Context) error {
	d.old = d.state.Leader
	if err := on(d.old, func(c *operator.Client) (err error) {
		d.before, err = c.Units(ctx)
		return err
	}); err != nil {
		return err
	}
	d.killed = d.client.counts()
	start := time.Now()
	if err := d.old.Kill(); err != nil {
		return err
	}
	state, err := d.bloc.AwaitReady(ctx)
	if err != nil {
		return err
	}
	err = local.Poll(ctx, func(ctx context.Context) string { return d.full(ctx) })
	if err != nil {
		return err
	}
	d.state = state
	d.sum.FailoverS = round(time.Since(start))
	for _, u := range children(d.before) {
		if err := syscall.Kill(u.PID, 0); err != nil {
			return crux.Errorf("kill leader", crux.Internal, "%s, process %d of the killed fulcrum, did not live on: %w", u.Inst, u.PID, err)
		}
	}
	d.comment = fmt.Sprintf("new leader %s, epoch %d; %d service processes of %s live on", state.Leader.Name, state.Epoch, len(children(d.before)), d.old.Name)
	return d.client.await(ctx, func(c counts) string {
		if c.Calls-d.killed.Calls < wantCalls/4 {
			return "more calls"
		}
		return ""
	})
}

// full checks that every living node's registry has every replica, those of the
// killed node among them.
func (d *demo) full(ctx context.Context) string {
	for _, n := range d.bloc.Nodes {
		if !n.Running() {
			continue
		}
		at, err := d.serving(ctx, n, "galumph2_4")
		switch {
		case err != nil:
			return fmt.Sprintf("%s: %v", n.Name, err)
		case len(at) != replicas:
			return fmt.Sprintf("%s knows %d of %d replicas of galumph2_4", n.Name, len(at), replicas)
		}
	}
	return ""
}

// children are the units that run in processes of their own.
func children(units []operator.Unit) (out []operator.Unit) {
	for _, u := range units {
		if u.PID != 0 {
			out = append(out, u)
		}
	}
	return out
}

// restart starts the killed fulcrum again, which must adopt what it ran.
func (d *demo) restart(ctx context.Context) error {
	if err := d.bloc.Start(d.old); err != nil {
		return err
	}
	if _, err := d.bloc.AwaitReady(ctx); err != nil {
		return err
	}
	want := children(d.before)
	err := local.Poll(ctx, func(ctx context.Context) string {
		var now []operator.Unit
		err := on(d.old, func(c *operator.Client) (err error) {
			now, err = c.Units(ctx)
			return err
		})
		if err != nil {
			return err.Error()
		}
		for _, w := range want {
			if !adopted(now, w) {
				return fmt.Sprintf("%s to adopt process %d, %s", d.old.Name, w.PID, w.Inst)
			}
		}
		return ""
	})
	if err != nil {
		return err
	}
	d.comment = fmt.Sprintf("%s adopted %d processes, none restarted", d.old.Name, len(want))
	if len(want) == 0 {
		return crux.Errorf("adopt", crux.Internal, "%s ran no service in a process of its own", d.old.Name)
	}
	return d.noneFailed(d.killed)
}

func adopted(now []operator.Unit, w operator.Unit) bool {
	for _, u := range now {
		if u.Inst == w.Inst && u.PID == w.PID && u.Restarts == w.Restarts && u.State == "serving" {
			return true
		}
	}
	return false
}

// killReplica kills the replica that the client talks to.
func (d *demo) killReplica(ctx context.Context) error {
	var pid int
	for _, u := range children(d.before) {
		if u.Inst == "galumph2_4" {
			pid = u.PID
		}
	}
	if pid == 0 {
		return crux.Errorf("kill replica", crux.NotFound, "the client's node runs no galumph2_4")
	}
	before := d.client.counts()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return crux.Errorf("kill replica", crux.Internal, "process %d: %w", pid, err)
	}
	err := d.client.await(ctx, func(c counts) string {
		if c.Calls-before.Calls < wantCalls/4 {
			return "more calls"
		}
		return ""
	})
	if err != nil {
		return err
	}
	c := d.client.counts()
	d.sum.InFlightLost = c.Register.Failed - before.Register.Failed
	d.comment = fmt.Sprintf("%d calls since: Table (idempotent) %d failed; Register %d lost in flight",
		c.Calls-before.Calls, c.Table.Failed-before.Table.Failed, d.sum.InFlightLost)
	switch {
	case c.Table.Failed > before.Table.Failed:
		return crux.Errorf("kill replica", crux.Internal, "%d idempotent calls failed: %s", c.Table.Failed-before.Table.Failed, c.LastError)
	case d.sum.InFlightLost > workers:
		return crux.Errorf("kill replica", crux.Internal, "%d Register calls failed, more than the %d that can have been in flight: %s",
			d.sum.InFlightLost, workers, c.LastError)
	}
	return nil
}

// addUp ends the client and checks the totals.
func (d *demo) addUp(ctx context.Context) error {
	c, err := d.client.stop(ctx)
	if err != nil {
		return err
	}
	d.client = nil
	d.sum.Calls = c.Calls
	d.sum.Failed = c.FailedAll - d.sum.InFlightLost
	over := c.Calls - d.base.Calls
	d.comment = fmt.Sprintf("%d calls, %d since the roll-out began; %d failed, %d lost in flight to the killed replica", c.Calls, over, d.sum.Failed, d.sum.InFlightLost)
	switch {
	case d.sum.Failed > 0:
		return crux.Errorf("add up", crux.Internal, "%d calls failed, the last with: %s", d.sum.Failed, c.LastError)
	case over < wantCalls:
		return crux.Errorf("add up", crux.Internal, "only %d calls were made over the roll-out and the kills, not %d", over, wantCalls)
	}
	return nil
}
