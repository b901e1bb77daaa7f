package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/fulcrum/operator"
)

func newEvict() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "evict NODE",
		Short: "Remove a member from the flock: it gets no further keys",
		Long: `Remove a member from the flock. It gets no further keys and its streams are
closed. Take its key out of the bloc file too, or it is back with the next
flock.`,
		Example: "  fulcrum evict 3f9a1c02b7d4e588",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := crux.ParseNodeID(args[0])
			if err != nil {
				return err
			}
			return withNode(cmd, func(ctx context.Context, c *operator.Client, _ *viper.Viper) error {
				if err := c.Evict(ctx, id); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "evicted %s\n", id)
				return err
			})
		},
	}
	addNode(cmd)
	return cmd
}

func newBlocApply() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Hand a newer bloc file to a running node",
		Long: `Hand a bloc file of a higher version to a running node, which puts it in force,
keeps it, and passes it on to the flock.`,
		Example: "  fulcrum bloc apply bloc.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readBlocFile(args[0])
			if err != nil {
				return err
			}
			if _, err := bloc.Parse(text); err != nil {
				return crux.Wrap(args[0], err)
			}
			return withNode(cmd, func(ctx context.Context, c *operator.Client, _ *viper.Viper) error {
				version, err := c.ApplyBloc(ctx, text)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "bloc file version %d is in force\n", version)
				return err
			})
		},
	}
	addNode(cmd)
	return cmd
}
