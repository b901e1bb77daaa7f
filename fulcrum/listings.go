package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/operator"
)

// newListing makes a command that asks a node one thing and prints it, as a
// table or with -o json.
func newListing[T any](use, short, example string,
	ask func(ctx context.Context, c *operator.Client, v *viper.Viper) (T, error),
	show func(w io.Writer, t T) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := wantJSON(cmd)
			if err != nil {
				return err
			}
			return withNode(cmd, func(ctx context.Context, c *operator.Client, v *viper.Viper) error {
				t, err := ask(ctx, c, v)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), t)
				}
				return show(cmd.OutOrStdout(), t)
			})
		},
	}
	addNode(cmd)
	addOutput(cmd)
	return cmd
}

func newStatus() *cobra.Command {
	return newListing("status", "Say how the node and its flock fare",
		"  fulcrum status\n  fulcrum status --node /tmp/dev/node2 -o json",
		func(ctx context.Context, c *operator.Client, _ *viper.Viper) (operator.Status, error) {
			return c.Status(ctx)
		},
		showStatus)
}

func showStatus(w io.Writer, s operator.Status) error {
	name := func(id *crux.NodeID) string {
		switch {
		case id == nil:
			return "none"
		case *id == s.Node:
			return id.String() + " (this node)"
		}
		return id.String()
	}
	fmt.Fprintf(w, "bloc      %s\nflock     %s %q, epoch %d\n", s.Bloc, s.Flock, s.Name, s.Epoch)
	fmt.Fprintf(w, "node      %s\nleader    %s\nmembers   %d\nsteward   %s\n", s.Node, name(s.Leader), s.Members, name(s.Steward))
	whole := "whole: every member has reported"
	if !s.Whole {
		whole = "filling: not every member has reported yet"
	}
	_, err := fmt.Fprintf(w, "services  %d (%s)\n", s.Services, whole)
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
	return err
}

func newMembers() *cobra.Command {
	return newListing("members", "List the members of the flock", "  fulcrum members -o json",
		func(ctx context.Context, c *operator.Client, _ *viper.Viper) ([]operator.Member, error) {
			return c.Members(ctx)
		},
		func(w io.Writer, list []operator.Member) error {
			rows := make([][]string, 0, len(list))
			for _, m := range list {
				mark := ""
				if m.Leader {
					mark = "leader"
				}
				rows = append(rows, []string{m.ID.String(), m.Addr.String(), m.State, mark})
			}
			return printTable(w, []string{"NODE", "ADDRESS", "STATE", ""}, rows)
		})
}

func newServices() *cobra.Command {
	cmd := newListing("services", "List the registry: which service listens where",
		"  fulcrum services --api galumph2\n  fulcrum services --inst galumph2_4 -o json",
		func(ctx context.Context, c *operator.Client, v *viper.Viper) ([]operator.Service, error) {
			sel, err := selectorOf(v)
			if err != nil {
				return nil, err
			}
			return c.Services(ctx, sel)
		},
		func(w io.Writer, list []operator.Service) error {
			rows := make([][]string, 0, len(list))
			for _, s := range list {
				rows = append(rows, []string{string(s.Inst), s.Node.String(), string(s.NetID), string(s.Horde), s.Status})
			}
			return printTable(w, []string{"INSTANCE", "NODE", "ADDRESS", "HORDE", "STATUS"}, rows)
		})
	cmd.Flags().String("api", "", "only this `API`, as galumph2")
	cmd.Flags().String("inst", "", "only this `instance` version, as galumph2_3")
	cmd.Flags().String("horde", "", "only this `horde`")
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
	return newListing("units", "List what picket runs on this node; -o json says where each logs", "  fulcrum units -o json",
		func(ctx context.Context, c *operator.Client, _ *viper.Viper) ([]operator.Unit, error) {
			return c.Units(ctx)
		},
		func(w io.Writer, list []operator.Unit) error {
			rows := make([][]string, 0, len(list))
			for _, u := range list {
				pid := "-" // inside fulcrum, or not running
				if u.PID != 0 {
					pid = strconv.Itoa(u.PID)
				}
				rows = append(rows, []string{u.Inst, u.Horde, u.Kind, u.State, pid, strconv.Itoa(u.Restarts), ago(u.Since)})
			}
			err := printTable(w, []string{"INSTANCE", "HORDE", "KIND", "STATE", "PID", "RESTARTS", "SINCE"}, rows)
			for _, u := range list {
				if u.Error != "" {
					fmt.Fprintln(w, u.Inst+": "+strings.TrimPrefix(u.Error, u.Inst+": ")+logOf(u))
				}
			}
			return err
		})
}

// logOf says where a unit that fares badly logs.
func logOf(u operator.Unit) string {
	if u.Log == "" || strings.Contains(u.Error, u.Log) {
		return ""
	}
	return " (log: " + u.Log + ")"
}
