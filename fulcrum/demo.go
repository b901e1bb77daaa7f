package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/demo"
)

func newDemo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole job on this machine, step by step, in a minute",
		Long: `Show the whole job on this machine with real processes: power up a bloc, publish
a service, run it on three nodes, roll out its next version under load, kill the
leader's fulcrum, start it again, kill a replica. It prints each step with its
time and ends by itself: with status 0, or 1 and the step that failed.`,
		Example: `  fulcrum demo
  fulcrum demo --json
  fulcrum demo --store s3://artifacts/demo --s3-endpoint http://127.0.0.1:9000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), cmd) },
	}
	f := cmd.Flags()
	f.Bool("json", false, "print the summary as one JSON object; the steps go to standard error")
	f.String("dir", "", "`folder` for the nodes (default: a temporary one, removed at the end)")
	f.String("source", ".", "`folder` of the project, where examples/galumph is built from")
	f.Bool("keep", false, "leave the nodes' folders, with their logs")
	addNet(cmd)
	addStore(cmd)
	return cmd
}

func runDemo(ctx context.Context, cmd *cobra.Command) error {
	v, err := configure(cmd)
	if err != nil {
		return err
	}
	o := demo.Options{Source: v.GetString("source"), Keep: v.GetBool("keep") || v.GetString("dir") != "", Out: cmd.OutOrStdout()}
	if o.Options, err = localOptions(v); err != nil {
		return err
	}
	o.Nodes, o.Dir = 5, v.GetString("dir")
	asJSON := v.GetBool("json")
	if asJSON {
		o.Out = cmd.ErrOrStderr()
	}
	sum, err := demo.Run(ctx, o)
	if asJSON {
		if jerr := printJSONLine(cmd.OutOrStdout(), sum); err == nil {
			err = jerr
		}
	} else {
		printSummary(cmd.OutOrStdout(), sum)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return crux.Wrap("demo", err)
}

func printSummary(w io.Writer, s demo.Summary) {
	verdict := "demo failed"
	if s.OK {
		verdict = "demo ok"
		if onTerminal(os.Stdout) {
			verdict = "\x1b[32mdemo ok\x1b[0m"
		}
	}
	fmt.Fprintf(w, `
%s
  bloc ready        %6.2f s  (%d nodes: one flock, a whole registry everywhere)
  roll-out          %6.2f s  (asked for galumph2_4 → every call answered by it)
  leader's death    %6.2f s  (killed → new leader, full registry everywhere)
  calls             %6d    of which %d failed
  lost in flight    %6d    calls of Register to the replica that was killed
`, verdict, s.ReadyS, s.Nodes, s.RolloutS, s.FailoverS, s.Calls, s.Failed, s.InFlightLost)
}
