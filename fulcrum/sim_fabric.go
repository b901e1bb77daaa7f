package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/sim"
)

func newSimFabric() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fabric",
		Short: "How fast a bloc learns of failures and updates, at what cost",
		Long: `Start a bloc of that size in virtual time, the starts spread over a second,
with the machine that real nodes run; let it rest; spread updates; and let one
member fail, by the silent death of its host or so that its process hangs. Each
one-way delay is uniform between 0.2 and 1.2 of the delay.

joined_s counts from the last start until every node sees every other;
detect90_ms from the failure until 90% of the live nodes' tables show the member
unreachable. idle_bytes_per_node_s counts seals, acknowledgements and TCP, UDP
and IP headers. An update is a write to the store, or beyond 2,000 nodes a
multicast. false_deaths counts from when all had joined. A time of -1 did not
come. The same seed gives the same trace, a hash over every event.

--formed begins with an overlay as after long calm, so that large blocs need no
time to join. --scenario plays a scenario file instead, which says what happens
and what must hold: lashup/sim describes them, lashup/testdata has examples.`,
		Example: `  fulcrum sim fabric --nodes 1000 --fail hang --updates 100 -o json
  fulcrum sim fabric --scenario lashup/testdata/split.txt --seed 7`,
		Args:    cobra.NoArgs,
		PreRunE: checkSimFabric,
		RunE:    runSimFabric,
	}
	f := cmd.Flags()
	f.Int("nodes", 500, "how many nodes")
	f.Uint64("seed", 1, "seed of everything that is random")
	f.Float64("loss", 0.01, "`fraction` of packets that are lost")
	f.Duration("delay", time.Millisecond, "one-way delay")
	f.String("fail", "kill", "how a member fails: kill or hang")
	f.Int("updates", 100, "how many updates to spread")
	f.Bool("formed", false, "begin with a formed overlay")
	f.String("scenario", "", "play this scenario `file`")
	addOutput(cmd)
	return cmd
}

// checkSimFabric refuses flags that do not go together, and values that are none.
func checkSimFabric(cmd *cobra.Command, _ []string) error {
	v, err := configure(cmd)
	if err != nil {
		return err
	}
	if v.GetString("scenario") != "" {
		for _, name := range []string{"nodes", "loss", "delay", "fail", "updates", "formed", "output"} {
			if cmd.Flags().Changed(name) {
				return fmt.Errorf("--%s does not go with --scenario, whose file says what there is and happens", name)
			}
		}
	}
	if fail := v.GetString("fail"); fail != "kill" && fail != "hang" {
		return fmt.Errorf("--fail %s: want kill or hang", fail)
	}
	return nil
}

func runSimFabric(cmd *cobra.Command, _ []string) error {
	asJSON, err := wantJSON(cmd)
	if err != nil {
		return err
	}
	v, err := configure(cmd)
	if err != nil {
		return err
	}
	if file := v.GetString("scenario"); file != "" {
		return playScenario(cmd.OutOrStdout(), file, v.GetUint64("seed"))
	}
	start := time.Now()
	r, err := sim.Run(sim.Options{
		Nodes: v.GetInt("nodes"), Seed: v.GetUint64("seed"), Loss: v.GetFloat64("loss"), Delay: v.GetDuration("delay"),
		Hang: v.GetString("fail") == "hang", Updates: v.GetInt("updates"), Formed: v.GetBool("formed"),
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), r)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), `joined        %.3f s after the last start (virtual)
detected      by 50%% after %.0f ms, by 90%% after %.0f ms, by all after %.0f ms
false deaths  %d
at rest       %.0f bytes a second and node
adjacencies   %.0f bytes a node
updates       median %.0f ms, p99.9 %.0f ms; %d of %d everywhere
trace         %s
simulated in  %.2f s
`, r.JoinedS, r.Detect50MS, r.Detect90MS, r.Detect100MS, r.FalseDeaths, r.IdleBytes, r.AdjacencyBytes,
		r.Update50MS, r.Update999MS, r.UpdatesDelivered, r.UpdatesSent, r.Trace, time.Since(start).Seconds())
	return err
}

// playScenario runs a scenario file, and tells what happens in it.
func playScenario(out io.Writer, file string, seed uint64) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return crux.Errorf("play scenario", crux.NotFound, "%w", err)
	}
	s, err := sim.Parse(string(text))
	if err != nil {
		return err
	}
	var failed error
	tell := func(format string, args ...any) {
		if _, err := fmt.Fprintf(out, format+"\n", args...); err != nil && failed == nil {
			failed = err
		}
	}
	if err := sim.Play(s, seed, tell); err != nil {
		return err
	}
	tell("everything holds")
	return failed
}
