package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux/rpc/fabric"
	"fulcrum.example/fulcrum/operator"
)

func newKVWatch() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch [PATTERN]",
		Short: "Print what keys hold, and then each change",
		Long: `Print what the keys hold that PATTERN selects (all, unless it is given), and
then each change, until it is interrupted. It goes on through upgrades and
restarts of the node, and says so while the node is away. With -o json each line
is an object.`,
		Example:           "  fulcrum kv watch 'backends/**'\n  fulcrum kv watch config/limit -o json",
		Args:              cobra.MaximumNArgs(1),
		PreRunE:           patternOnly,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := wantJSON(cmd)
			if err != nil {
				return err
			}
			p, err := patternOf(args)
			if err != nil {
				return err
			}
			return withFabric(cmd, func(ctx context.Context, c *operator.Fabric, _ *viper.Viper) error {
				tellTrouble(cmd, c)
				for e, err := range c.Watch(ctx, p) {
					if err != nil {
						return err
					}
					if err := printEvent(cmd.OutOrStdout(), e, asJSON); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	addNode(cmd)
	addOutput(cmd)
	return cmd
}

// tellTrouble says on standard error when a stream is broken, and when it goes on.
func tellTrouble(cmd *cobra.Command, c *operator.Fabric) {
	c.OnTrouble(func(why error) {
		if why == nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "fulcrum: the node's lashup answers again")
			return
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "fulcrum: the node's lashup does not answer, and is still tried: %v\n", why)
	})
}

// kvEvent is an event as JSON has it.
type kvEvent struct {
	Event   string         `json:"event"` // existing, synced, changed, deleted
	Key     string         `json:"key,omitempty"`
	Type    *fabric.Type   `json:"type,omitempty"`
	Old     *fabric.Value  `json:"old,omitempty"`
	New     *fabric.Value  `json:"new,omitempty"`
	Version fabric.Version `json:"version"`
}

func printEvent(w io.Writer, e fabric.Event, asJSON bool) error {
	out := kvEvent{Key: fabric.FormatKey(e.Key), Old: e.Old, New: e.New, Version: e.Version}
	switch {
	case e.Kind == fabric.Existing:
		out.Event = "existing"
	case e.Kind == fabric.Synced:
		out.Event = "synced"
	case e.New == nil:
		out.Event = "deleted"
	default:
		out.Event = "changed"
	}
	if e.New != nil {
		out.Type = &e.New.Type
	}
	if asJSON {
		return printJSONLine(w, out)
	}
	old := e.Old.String()
	if e.OldUnknown {
		old = "?"
	}
	key := printable(out.Key)
	var err error
	switch out.Event {
	case "existing":
		_, err = fmt.Fprintf(w, "%s = %s\n", key, e.New)
	case "changed", "deleted":
		_, err = fmt.Fprintf(w, "%s: %s -> %s\n", key, old, e.New)
	}
	return err
}
