package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/operator"
)

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say how the node and its flock fare",
		Example: "  fulcrum status\n  fulcrum status --node /tmp/dev/node2 -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := wantJSON(cmd)
			if err != nil {
				return err
			}
			return withNode(cmd, func(ctx context.Context, c *operator.Client, _ *viper.Viper) error {
				s, err := c.Status(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), s)
				}
				return printStatus(cmd, s)
			})
		},
	}
	addNode(cmd)
	addOutput(cmd)
	return cmd
}

func printStatus(cmd *cobra.Command, s operator.Status) error {
	name := func(id *crux.NodeID) string {
		switch {
		case id == nil:
			return "none"
		case *id == s.Node:
			return id.String() + " (this node)"
		}
		return id.String()
	}
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "bloc      %s\nflock     %s %q, epoch %d\n", s.Bloc, s.Flock, s.Name, s.Epoch)
	fmt.Fprintf(w, "node      %s\nleader    %s\nmembers   %d\nsteward   %s\n", s.Node, name(s.Leader), s.Members, name(s.Steward))
	whole := "whole: every member has reported"
	if !s.Whole {
		whole = "filling: not every member has reported yet"
	}
	fmt.Fprintf(w, "services  %d (%s)\n", s.Services, whole)
	if s.Open {
		fmt.Fprintln(w, "warning   enrolment is open: whoever holds the secondary key may join")
	}
	for _, h := range s.Hints {
		sure := "unauthenticated"
		if h.Authenticated {
			sure = "authenticated"
		}
		fmt.Fprintf(w, "hint      %s (%s, from %s)\n", h.Text, sure, h.From)
	}
	return nil
}

func newMembers() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "members",
		Short:   "List the members of the flock",
		Example: "  fulcrum members -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := wantJSON(cmd)
			if err != nil {
				return err
			}
			return withNode(cmd, func(ctx context.Context, c *operator.Client, _ *viper.Viper) error {
				list, err := c.Members(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), list)
				}
				rows := make([][]string, 0, len(list))
				for _, m := range list {
					mark := ""
					if m.Leader {
						mark = "leader"
					}
					rows = append(rows, []string{m.ID.String(), m.Addr.String(), m.State, mark})
				}
				return printTable(cmd.OutOrStdout(), []string{"NODE", "ADDRESS", "STATE", ""}, rows)
			})
		},
	}
	addNode(cmd)
	addOutput(cmd)
	return cmd
}

func newServices() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "services",
		Short:   "List the registry: which service listens where",
		Example: "  fulcrum services --api galumph2\n  fulcrum services --inst galumph2_4 -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := wantJSON(cmd)
			if err != nil {
				return err
			}
			return withNode(cmd, func(ctx context.Context, c *operator.Client, v *viper.Viper) error {
				sel, err := selectorOf(v)
				if err != nil {
					return err
				}
				list, err := c.Services(ctx, sel)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), list)
				}
				rows := make([][]string, 0, len(list))
				for _, s := range list {
					rows = append(rows, []string{string(s.Inst), s.Node.String(), string(s.NetID), string(s.Horde), s.Status})
				}
				return printTable(cmd.OutOrStdout(), []string{"INSTANCE", "NODE", "ADDRESS", "HORDE", "STATUS"}, rows)
			})
		},
	}
	cmd.Flags().String("api", "", "only this `API`, as galumph2")
	cmd.Flags().String("inst", "", "only this `instance` version, as galumph2_3")
	cmd.Flags().String("horde", "", "only this `horde`")
	addNode(cmd)
	addOutput(cmd)
	return cmd
}

// selectorOf reads --api, --inst and --horde.
func selectorOf(v *viper.Viper) (sel crux.Selector, err error) {
	if s := v.GetString("api"); s != "" {
		if sel.API, err = crux.ParseAPI(s); err != nil {
			return sel, err
		}
	}
	if s := v.GetString("inst"); s != "" {
		if sel.Inst, err = crux.ParseInst(s); err != nil {
			return sel, err
		}
	}
	if s := v.GetString("horde"); s != "" {
		sel.Horde, err = crux.ParseHorde(s)
	}
	return sel, err
}

func newUnits() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "units",
		Short: "List what picket runs on this node, and where it logs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := wantJSON(cmd)
			if err != nil {
				return err
			}
			return withNode(cmd, func(ctx context.Context, c *operator.Client, _ *viper.Viper) error {
				list, err := c.Units(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), list)
				}
				return printUnits(cmd, list)
			})
		},
	}
	addNode(cmd)
	addOutput(cmd)
	return cmd
}

func printUnits(cmd *cobra.Command, list []operator.Unit) error {
	rows := make([][]string, 0, len(list))
	for _, u := range list {
		rows = append(rows, []string{u.Inst, u.Horde, u.Kind, u.State, strconv.Itoa(u.PID), strconv.Itoa(u.Restarts), ago(u.Since)})
	}
	if err := printTable(cmd.OutOrStdout(), []string{"INSTANCE", "HORDE", "KIND", "STATE", "PID", "RESTARTS", "SINCE"}, rows); err != nil {
		return err
	}
	for _, u := range list {
		if u.Error != "" {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", u.Inst, u.Error)
		}
	}
	return nil
}
