// Command fulcrum turns nodes that have just been powered up into a working
// platform: one binary that forms the flock, registers services, runs them, and
// rolls out new versions of them.
//
// This package is the command line: it reads configuration (flags, environment,
// file), calls what does the work, and prints. The composition of a node is
// fulcrum/boot; blocs on one machine are fulcrum/local.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"fulcrum.example/picket/host"
	"fulcrum.example/picket/run"
)

func main() {
	// The stages of a child process come first: they are not for people, and
	// must not pay for (or be reached through) the command line.
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case run.LaunchCommand:
			run.LaunchMain(os.Args[2:])
		case host.Command:
			host.Main(os.Args[2:])
		case host.BuiltinCommand:
			host.BuiltinMain(os.Args[2:], childFunctions)
		}
	}
	os.Exit(execute(os.Args[1:]))
}

// execute runs the command line and returns the exit status: 0, 1 when the
// command failed, 2 when it was not understood, 130 when it was interrupted.
func execute(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "fulcrum: %v\nRun '%s --help' for usage.\n", err, usage.command)
		return 2
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "fulcrum: interrupted")
		return 130
	}
	fmt.Fprintf(os.Stderr, "fulcrum: %v\n", err)
	return 1
}

// usageError is a command line that was not understood.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "fulcrum",
		Short: "Group services for nodes that have just been powered up",
		Long: `fulcrum turns nodes that have just been powered up into a working platform:
they find one another, form one flock with a leader, register gRPC services with
version selectors, run them, and roll out new versions without a failed call.`,
		Example: `  fulcrum demo                      # the whole job on this machine, in a minute
  fulcrum dev                       # a bloc of 5 nodes that stays until Ctrl-C
  fulcrum up --key-file key --bloc-file bloc.json
  fulcrum services --api galumph2`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetUsageTemplate(usageTemplate(root.UsageTemplate()))
	root.PersistentFlags().String("config", "", "configuration `file` (YAML, TOML or JSON)")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{cmd.CommandPath(), err}
	})
	root.AddGroup(
		&cobra.Group{ID: "try", Title: "Try it:"},
		&cobra.Group{ID: "run", Title: "Run a bloc:"},
		&cobra.Group{ID: "look", Title: "Look at it:"},
		&cobra.Group{ID: "ship", Title: "Ship services:"},
		&cobra.Group{ID: "fabric", Title: "Use the event fabric:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("try", newDemo(), newDev(), newSim())
	add("run", newUp(), newKey(), newNodeKey(), newBloc(), newEvict())
	add("look", newStatus(), newMembers(), newServices(), newIntents(), newInventory(), newUnits(), newLogs())
	add("ship", newPublish(), newRollout())
	add("fabric", newFabric(), newKV(), newMulticast())
	root.AddCommand(newVersion())
	wrapArgs(root)
	return root
}

// usageTemplate makes cobra's template keep to 80 columns, and not claim that a
// command which only groups others can be run.
func usageTemplate(cobras string) string {
	return strings.NewReplacer(
		"FlagUsages", "FlagUsagesWrapped 80",
		"{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}",
	).Replace(cobras)
}

// wrapArgs makes what is wrong with the arguments a usage error, on every command: a
// wrong number of them, and what PreRunE finds, which asks nobody.
func wrapArgs(cmd *cobra.Command) {
	if check := cmd.PreRunE; check != nil {
		cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return nil
		}
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		wrapArgs(c)
	}
}
