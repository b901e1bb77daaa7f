package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/fabric"
	"fulcrum.example/fulcrum/operator"
)

// fabricPatience is how long a command waits for the fabric, unless it is one
// that goes on until it is interrupted.
const fabricPatience = 10 * time.Second

// withFabric connects to the lashup of the node that --node names and runs f.
func withFabric(cmd *cobra.Command, f func(ctx context.Context, c *operator.Fabric, v *viper.Viper) error) error {
	v, err := configure(cmd)
	if err != nil {
		return err
	}
	c, err := operator.DialFabric(cmd.Context(), v.GetString("node"))
	if err != nil {
		return err
	}
	defer c.Close()
	return f(cmd.Context(), c, v)
}

// askFabric is withFabric for one question.
func askFabric(cmd *cobra.Command, f func(ctx context.Context, c *operator.Fabric, v *viper.Viper) error) error {
	return withFabric(cmd, func(ctx context.Context, c *operator.Fabric, v *viper.Viper) error {
		ctx, cancel := context.WithTimeout(ctx, fabricPatience)
		defer cancel()
		return f(ctx, c, v)
	})
}

// newFabricListing makes a command that asks the fabric one thing and prints it,
// as a table or with -o json.
func newFabricListing[T any](cmd *cobra.Command,
	ask func(ctx context.Context, c *operator.Fabric, v *viper.Viper, args []string) (T, error),
	show func(w io.Writer, t T) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		asJSON, err := wantJSON(cmd)
		if err != nil {
			return err
		}
		return askFabric(cmd, func(ctx context.Context, c *operator.Fabric, v *viper.Viper) error {
			t, err := ask(ctx, c, v, args)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), t)
			}
			return show(cmd.OutOrStdout(), t)
		})
	}
	addNode(cmd)
	addOutput(cmd)
	return cmd
}

func newFabric() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fabric",
		Short: "Say which nodes are alive, and how they are reached",
		Long: `Say which nodes are alive and how they are reached, as the event fabric (lashup)
of one node sees it. The flock decides who is a member ('fulcrum members'); the
fabric finds out within a second who does not answer.`,
		Example: "  fulcrum fabric members\n  fulcrum fabric check 3f9a1c02b7d4e588",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFabricMembers(), newFabricTree(), newFabricPath(), newFabricCheck())
	return cmd
}

func newFabricMembers() *cobra.Command {
	return newFabricListing(&cobra.Command{
		Use:     "members",
		Short:   "List the members and how they fare",
		Long:    "List the members and how they fare, as this node sees them.\n" + statesHelp,
		Example: "  fulcrum fabric members\n  fulcrum fabric members -o json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, c *operator.Fabric, _ *viper.Viper, _ []string) (fabric.Members, error) {
		return c.Members(ctx)
	}, showFabricMembers)
}

const statesHelp = `
  up           it answers
  hung         its host answers, its process does not
  dead         neither answers
  left         it said that it goes
  unreachable  not from this node; others may reach it
  unknown      it has not been heard of yet`

func showFabricMembers(w io.Writer, all fabric.Members) error {
	rows := make([][]string, 0, len(all.List))
	for _, m := range all.List {
		addr, rtt, hops, mark := "-", "-", "-", ""
		if m.Addr.IsValid() {
			addr = m.Addr.Addr().String()
		}
		if m.RTT > 0 {
			rtt = milliseconds(m.RTT)
		}
		if m.Distance != fabric.Infinity {
			hops = strconv.Itoa(m.Distance)
		}
		switch {
		case m.Node == all.Self:
			mark = "this node"
		case m.Master:
			mark = "master"
		}
		rows = append(rows, []string{m.Node.String(), addr, m.State.String(), ago(m.Since), rtt, hops, mark})
	}
	err := printTable(w, []string{"NODE", "ADDRESS", "STATE", "SINCE", "RTT", "HOPS", ""}, rows)
	if all.Isolated {
		fmt.Fprintln(w, "This node reaches nobody: what it says of the others is old.")
	} else if all.CutFromMasters {
		fmt.Fprintln(w, "This node reaches none of the masters.")
	}
	return err
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + "ms"
}

func newFabricTree() *cobra.Command {
	return newFabricListing(&cobra.Command{
		Use:               "tree [ORIGIN]",
		Short:             "Show the shortest ways from a node to all others",
		Long:              "Show the shortest ways from a node (this one, unless ORIGIN is given) to all\nothers: what a multicast takes.",
		Example:           "  fulcrum fabric tree\n  fulcrum fabric tree 3f9a1c02b7d4e588 -o json",
		Args:              cobra.MaximumNArgs(1),
		PreRunE:           nodesOnly,
		ValidArgsFunction: completeNodes(1),
	}, func(ctx context.Context, c *operator.Fabric, _ *viper.Viper, args []string) ([]fabric.TreeNode, error) {
		ids, err := parseNodes(args)
		if err != nil {
			return nil, err
		}
		return c.Tree(ctx, append(ids, crux.NodeID{})[0])
	}, showTree)
}

// showTree prints a tree with each node below its parent, and then what is out of
// reach.
func showTree(w io.Writer, list []fabric.TreeNode) error {
	children := map[crux.NodeID][]crux.NodeID{}
	var roots, lost []crux.NodeID
	for _, n := range list {
		switch {
		case n.Distance == fabric.Infinity:
			lost = append(lost, n.Node)
		case n.Distance == 0:
			roots = append(roots, n.Node)
		default:
			children[n.Parent] = append(children[n.Parent], n.Node)
		}
	}
	var b strings.Builder
	var below func(ids []crux.NodeID, depth int)
	below = func(ids []crux.NodeID, depth int) {
		for _, id := range ids {
			b.WriteString(strings.Repeat("  ", depth) + id.String() + "\n")
			below(children[id], depth+1)
		}
	}
	below(roots, 0)
	for _, id := range lost {
		b.WriteString(id.String() + "  out of reach\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func newFabricPath() *cobra.Command {
	return newFabricListing(&cobra.Command{
		Use:               "path A B",
		Short:             "Show a shortest way between two nodes",
		Example:           "  fulcrum fabric path 3f9a1c02b7d4e588 08d2e7b1f96ac345",
		Args:              cobra.ExactArgs(2),
		PreRunE:           nodesOnly,
		ValidArgsFunction: completeNodes(2),
	}, func(ctx context.Context, c *operator.Fabric, _ *viper.Viper, args []string) ([]crux.NodeID, error) {
		ids, err := parseNodes(args)
		if err != nil {
			return nil, err
		}
		path, err := c.Path(ctx, ids[0], ids[1])
		if err == nil && path == nil {
			err = crux.Errorf("path", crux.NotFound, "there is no way from %s to %s: see 'fulcrum fabric members'", ids[0], ids[1])
		}
		return path, err
	}, func(w io.Writer, path []crux.NodeID) error {
		for _, id := range path {
			if _, err := fmt.Fprintln(w, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func newFabricCheck() *cobra.Command {
	var found fabric.Checked
	cmd := newFabricListing(&cobra.Command{
		Use:   "check NODE",
		Short: "Find out now whether a node is alive",
		Long: `Have this node ask another whether it is alive, and have others ask it if it
does not answer: half a second at most. The exit status is 0 only if it is up.` + "\n" + statesHelp,
		Example:           "  fulcrum fabric check 3f9a1c02b7d4e588",
		Args:              cobra.ExactArgs(1),
		PreRunE:           nodesOnly,
		ValidArgsFunction: completeNodes(1),
	}, func(ctx context.Context, c *operator.Fabric, _ *viper.Viper, args []string) (fabric.Checked, error) {
		ids, err := parseNodes(args)
		if err != nil {
			return fabric.Checked{}, err
		}
		found, err = c.Check(ctx, ids[0])
		return found, err
	}, func(w io.Writer, r fabric.Checked) error {
		if r.State != fabric.Up {
			return nil // the error says it
		}
		_, err := fmt.Fprintf(w, "%s is up: it answered in %s\n", r.Node, milliseconds(r.RTT))
		return err
	})
	ask := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := ask(cmd, args)
		if err == nil && found.State != fabric.Up {
			err = crux.Errorf("check", crux.Unavailable, "%s is %s (found out in %s)", found.Node, found.State, milliseconds(found.Took))
		}
		return err
	}
	return cmd
}

// nodesOnly refuses arguments that are no node IDs before anybody is asked.
func nodesOnly(_ *cobra.Command, args []string) error {
	_, err := parseNodes(args)
	return err
}

func parseNodes(args []string) ([]crux.NodeID, error) {
	ids := make([]crux.NodeID, len(args))
	for i, a := range args {
		var err error
		if ids[i], err = crux.ParseNodeID(a); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// completeNodes completes up to n arguments with the members of the flock, as
// the node at hand knows them.
func completeNodes(n int) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		err := withNode(cmd, func(ctx context.Context, c *operator.Client, _ *viper.Viper) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			list, err := c.Members(ctx)
			for _, m := range list {
				out = append(out, m.ID.String()+"\t"+m.Addr.String())
			}
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
