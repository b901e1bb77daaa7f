package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"fulcrum.example/flock/sim"
)

func newSim() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sim",
		Short:   "Run a protocol in virtual time, for planning",
		Example: "  fulcrum sim flock --nodes 500 -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSimFlock(), newSimFabric())
	return cmd
}

func newSimFlock() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "flock",
		Short: "How long a bloc of a size takes to become one flock",
		Long: `Power up a bloc of that size in virtual time, the starts spread over a second,
no seed nodes, dense addresses, with the machine that real nodes run. Each
one-way delay is uniform between a tenth and nine tenths of the round trip.
formed_s counts from the last start until the last node itself knows all members
and the leader; bytes count seals, signatures and UDP/IP headers. The same seed
gives the same trace, a hash over every event.`,
		Example: "  fulcrum sim flock --nodes 500 --seed 1 --loss 0.01 --rtt 20ms -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := wantJSON(cmd)
			if err != nil {
				return err
			}
			v, err := configure(cmd)
			if err != nil {
				return err
			}
			start := time.Now()
			r, err := sim.Run(sim.Options{
				Nodes: v.GetInt("nodes"), Seed: v.GetUint64("seed"), Loss: v.GetFloat64("loss"), RTT: v.GetDuration("rtt"),
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), `formed          %.3f s after the last start (virtual)
leader changes  %d
per node        %.0f bytes, %.1f packets
trace           %s
simulated in    %.2f s
`, r.FormedS, r.LeaderChanges, float64(r.BytesPerNode), float64(r.PacketsPerNode), r.Trace, time.Since(start).Seconds())
			return err
		},
	}
	f := cmd.Flags()
	f.Int("nodes", 500, "how many nodes")
	f.Uint64("seed", 1, "seed of everything that is random")
	f.Float64("loss", 0.01, "`fraction` of packets that are lost")
	f.Duration("rtt", 20*time.Millisecond, "round-trip time")
	addOutput(cmd)
	return cmd
}
