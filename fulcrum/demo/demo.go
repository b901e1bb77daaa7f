// Package demo is the product's main job, end to end, on this machine: a bloc of
// real processes is powered up, a service is published, rolled out, replaced by
// a newer version under load, and survives the death of the leader's fulcrum
// and of a replica. Nothing in it is simulated; what it prints was measured.
//
// It belongs to the composition and stands on fulcrum/local, as an operator
// would on a shell.
package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/local"
	"fulcrum.example/fulcrum/operator"
)

// Options say how to run the demo.
type Options struct {
	local.Options        // Dir empty: a temporary folder, removed at the end
	Source        string // the module's root, where examples/galumph is built from
	Out           io.Writer
	Keep          bool // leave the folder
}

// Summary is what the demo measured.
type Summary struct {
	OK           bool    `json:"ok"`
	Nodes        int     `json:"nodes"`
	ReadyS       float64 `json:"ready_s"`        // first process started → one flock, registry whole everywhere
	Calls        int64   `json:"calls"`          // answered or failed
	Failed       int64   `json:"failed"`         // without those of in_flight_lost
	InFlightLost int64   `json:"in_flight_lost"` // Register calls in flight to the replica that was killed
	RolloutS     float64 `json:"rollout_s"`      // asked for 2_4 → only 2_4 serves and every call goes there
	FailoverS    float64 `json:"failover_s"`     // leader killed → new leader and a full registry everywhere
	Steps        []Step  `json:"steps"`
}

// Step is one step of the demo.
type Step struct {
	Name string  `json:"name"`
	S    float64 `json:"s"`
	OK   bool    `json:"ok"`
}

const (
	horde    = crux.DefaultHorde
	replicas = 3
	// stepTimeout bounds each step: one that takes longer has failed.
	stepTimeout = 30 * time.Second
	// wantCalls is how many calls are made, at least, over the roll-out and the
	// kill of the leader.
	wantCalls = 10_000
)

// demo is one run.
type demo struct {
	opts    Options
	bloc    *local.Bloc
	sum     Summary
	state   local.State
	began   time.Time
	client  *client
	old     *local.Node // the leader that is killed
	before  []operator.Unit
	base    counts // when the roll-out began
	killed  counts // when the leader was killed
	bin     map[string]string
	comment string // what a step wants said behind its line
}

// Run runs the demo until its end or the first step that fails. The error names
// that step; the summary is valid in any case.
func Run(ctx context.Context, o Options) (sum Summary, err error) {
	d := &demo{opts: o, bin: map[string]string{}}
	d.sum.Nodes = o.Nodes
	d.sum.Steps = []Step{}
	if o.Dir == "" {
		if d.opts.Dir, err = os.MkdirTemp("", "fulcrum-demo-"); err != nil {
			return d.sum, crux.Errorf("demo", crux.Internal, "%w", err)
		}
	}
	defer func() {
		if cerr := d.end(); err == nil {
			err = cerr
		}
		d.sum.OK = err == nil
		sum = d.sum
	}()
	steps := []struct {
		name string
		run  func(context.Context) error
	}{
		{"build galumph2_3, galumph2_4 and their client", d.build},
		{fmt.Sprintf("power up %d nodes: one flock, one leader, reeve and picket on each, one steward", o.Nodes), d.powerUp},
		{"publish galumph2_3 to the artifact store", d.publish23},
		{fmt.Sprintf("start galumph2_3 on %d nodes, the leader's among them", replicas), d.start23},
		{"connect a client on the leader's node by selector galumph2", d.connect},
		{"publish galumph2_4", d.publish24},
		{"roll out galumph2_4 under load: no call fails", d.rollout},
		{"SIGKILL the leader's fulcrum: its services live on, a new leader, a full registry", d.killLeader},
		{"start it again: it adopts its children", d.restart},
		{"SIGKILL a replica under load: idempotent calls all succeed", d.killReplica},
		{"end the client and add up", d.addUp},
	}
	d.began = time.Now()
	for i, s := range steps {
		if err := d.step(ctx, i+1, s.name, s.run); err != nil {
			return d.sum, err
		}
	}
	return d.sum, nil
}

// step runs one step and prints how it went.
func (d *demo) step(ctx context.Context, i int, name string, run func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	if i == 1 { // a first build of everything takes as long as it takes
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	}
	defer cancel()
	d.comment = ""
	start := time.Now()
	err := run(ctx)
	took := time.Since(start)
	d.sum.Steps = append(d.sum.Steps, Step{name, round(took), err == nil})
	mark := "ok  "
	if err != nil {
		mark = "FAIL"
	}
	fmt.Fprintf(d.opts.Out, "%7.2fs %s %s (%.2f s)\n", time.Since(d.began).Seconds(), mark, name, took.Seconds())
	if d.comment != "" {
		fmt.Fprintf(d.opts.Out, "              %s\n", d.comment)
	}
	if err != nil {
		return fmt.Errorf("step %d, %q: %w", i, name, err)
	}
	return nil
}

func round(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// powerUp starts the nodes and waits until the bloc is ready.
func (d *demo) powerUp(ctx context.Context) (err error) {
	if d.bloc, err = local.Create(d.opts.Options); err != nil {
		return err
	}
	start := time.Now()
	for _, n := range d.bloc.Nodes {
		if err := d.bloc.Start(n); err != nil {
			return err
		}
	}
	if d.state, err = d.bloc.AwaitReady(ctx); err != nil {
		return err
	}
	d.sum.ReadyS = round(time.Since(start))
	d.comment = fmt.Sprintf("leader %s %s, epoch %d", d.state.Leader.Name, d.state.Leader.ID, d.state.Epoch)
	return nil
}

// end stops everything that the demo started, and says so when it cannot.
func (d *demo) end() (err error) {
	if d.client != nil {
		err = d.client.kill()
	}
	if d.bloc != nil {
		defer d.bloc.Close()
		start := time.Now()
		if serr := d.bloc.StopAll(20 * time.Second); err == nil {
			err = serr
		}
		if kerr := d.reap(); err == nil {
			err = kerr
		}
		fmt.Fprintf(d.opts.Out, "%7.2fs      all ended (%.2f s)\n", time.Since(d.began).Seconds(), time.Since(start).Seconds())
	}
	if d.opts.Keep {
		fmt.Fprintf(d.opts.Out, "              the nodes' folders are in %s\n", d.opts.Dir)
		return err
	}
	if rerr := os.RemoveAll(d.opts.Dir); err == nil && rerr != nil {
		err = crux.Errorf("demo", crux.Internal, "%w", rerr)
	}
	return err
}

// reap makes sure that no service outlives the demo: where a fulcrum was killed
// and not started again, nobody has ended its children.
func (d *demo) reap() error {
	for _, n := range d.bloc.Nodes {
		for _, pid := range d.bloc.Strays(n) {
			p, err := os.FindProcess(pid)
			if err == nil {
				err = p.Kill()
			}
			if err != nil && err != os.ErrProcessDone {
				return crux.Errorf("demo", crux.Internal, "end service process %d of %s: %w", pid, n.Name, err)
			}
		}
	}
	return nil
}

func (d *demo) path(name string) string { return filepath.Join(d.opts.Dir, name) }
