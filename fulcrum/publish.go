package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/operator"
)

func newPublish() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish FILE",
		Short: "Put a service binary into the artifact store and the inventory",
		Long: `Publish a service binary, an executable or a Go plugin (.so): put it into the
artifact store under its checksum, and enter (horde, api, instance, file,
function) in the inventory, signed. An instance version is published once:
another binary needs another version.`,
		Example: "  fulcrum publish ./galumph2_4 --inst galumph2_4 --func Galumph2_4",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withNode(cmd, func(ctx context.Context, c *operator.Client, v *viper.Viper) error {
				return publish(ctx, cmd, c, v, args[0])
			})
		},
	}
	f := cmd.Flags()
	f.String("api", "", "the `API` that it serves (default: that of --inst)")
	f.String("inst", "", "its `instance` version, as galumph2_4 (required)")
	f.String("func", "", "the `function` in it, as Galumph2_4 (required)")
	f.String("horde", "", "the `horde` that may run it (default \"default\")")
	addSigning(cmd)
	addNode(cmd)
	return cmd
}

func publish(ctx context.Context, cmd *cobra.Command, c *operator.Client, v *viper.Viper, path string) error {
	if v.GetString("inst") == "" || v.GetString("func") == "" {
		return &usageError{cmd.CommandPath(), fmt.Errorf("--inst and --func are needed: which version this is, and which function serves it")}
	}
	inst, err := crux.ParseInst(v.GetString("inst"))
	if err != nil {
		return err
	}
	if a := v.GetString("api"); a != "" && a != string(inst.API()) {
		return crux.Errorf("publish", crux.Invalid, "%s is not an instance of %s", inst, a)
	}
	horde, err := crux.ParseHorde(v.GetString("horde"))
	if err != nil {
		return err
	}
	keys, err := signKeys(v)
	if err != nil {
		return err
	}
	p, err := c.Publish(ctx, path, horde, inst, v.GetString("func"), keys)
	if err != nil {
		return err
	}
	again := ""
	if p.Again {
		again = " (again, unchanged)"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "published %s%s: %s, function %s, %d bytes\nsha256 %s, in %s\n",
		p.Inst, again, p.Kind, p.Func, p.Size, p.Checksum, p.Stored)
	return err
}

func newRollout() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollout INSTANCE",
		Short: "Run a published version on so many nodes, and retire the others",
		Long: `Say that COUNT nodes should run a published version, and wait until they do and
other versions of the same API have been drained. New ones are started beside
the old; clients move by themselves. A rollout goes on if this command ends.`,
		Example: "  fulcrum rollout galumph2_4 --count 3\n  fulcrum rollout galumph2_3 --count 3   # and back",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withNode(cmd, func(ctx context.Context, c *operator.Client, v *viper.Viper) error {
				return rollout(ctx, cmd, c, v, args[0])
			})
		},
	}
	f := cmd.Flags()
	f.Int("count", 1, "how many nodes run it")
	f.String("horde", "", "in which `horde` (default \"default\")")
	f.Duration("timeout", 2*time.Minute, "how long to wait; 0: do not wait")
	addSigning(cmd)
	addNode(cmd)
	return cmd
}

func rollout(ctx context.Context, cmd *cobra.Command, c *operator.Client, v *viper.Viper, name string) error {
	inst, err := crux.ParseInst(name)
	if err != nil {
		return err
	}
	horde, err := crux.ParseHorde(v.GetString("horde"))
	if err != nil {
		return err
	}
	keys, err := signKeys(v)
	if err != nil {
		return err
	}
	version, err := c.Rollout(ctx, horde, inst, v.GetInt("count"), keys)
	if err != nil {
		return err
	}
	out, start := cmd.OutOrStdout(), time.Now()
	fmt.Fprintf(out, "intent %s version %d: %s on %d nodes\n", crux.IntentName(horde, inst.API()), version, inst, v.GetInt("count"))
	timeout := v.GetDuration("timeout")
	if timeout == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.Follow(ctx, horde, inst, version, (&progressPrinter{out: out, start: start}).print)
}

// progressPrinter prints how a rollout comes along: at once what was reached,
// and now and then what it waits for, which may change back and forth.
type progressPrinter struct {
	out     io.Writer
	start   time.Time
	last    operator.Progress
	printed time.Time
}

// waitEvery is how often a change of what is waited for is worth a line.
const waitEvery = time.Second

func (p *progressPrinter) print(now operator.Progress) {
	reached := now.Done != p.last.Done || now.Serving != p.last.Serving || now.Old != p.last.Old
	if now == p.last || !reached && time.Since(p.printed) < waitEvery {
		return
	}
	p.last, p.printed = now, time.Now()
	what := now.String()
	if now.Done {
		what = fmt.Sprintf("done: %d of %d serve", now.Serving, now.Want)
	}
	fmt.Fprintf(p.out, "%6.1fs  %s\n", time.Since(p.start).Seconds(), what)
}
