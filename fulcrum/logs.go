package main

import (
	"bytes"
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/operator"
)

func newLogs() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "logs INSTANCE",
		Short: "Print the end of the log of a service that this node runs",
		Long: `Print the end of what a service wrote to standard output and standard error on
this node. The whole of it is in the file that 'fulcrum units -o json' names.`,
		Example: "  fulcrum logs galumph2_4\n  fulcrum logs galumph2_4 --lines 500",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			inst, err := crux.ParseInst(args[0])
			if err != nil {
				return err
			}
			return withNode(cmd, func(ctx context.Context, c *operator.Client, v *viper.Viper) error {
				horde, err := crux.ParseHorde(v.GetString("horde"))
				if err != nil {
					return err
				}
				path, err := findLog(ctx, c, horde, inst)
				if err != nil {
					return err
				}
				return printEnd(cmd.OutOrStdout(), path, v.GetInt("lines"))
			})
		},
	}
	cmd.Flags().Int("lines", 50, "how many lines")
	cmd.Flags().String("horde", "", "of which `horde` (default \"default\")")
	addNode(cmd)
	return cmd
}

// findLog finds the log of a unit of the node.
func findLog(ctx context.Context, c *operator.Client, horde crux.Horde, inst crux.Inst) (string, error) {
	units, err := c.Units(ctx)
	if err != nil {
		return "", err
	}
	for _, u := range units {
		switch {
		case u.Inst != string(inst) || u.Horde != string(horde):
		case u.Log == "":
			return "", crux.Errorf("logs", crux.Invalid, "%s is built into fulcrum and logs with it, to fulcrum's standard error", inst)
		default:
			return u.Log, nil
		}
	}
	return "", crux.Errorf("logs", crux.NotFound, "this node does not run %s: 'fulcrum services --inst %s' says which do", inst, inst)
}

// maxLogEnd bounds how much of a log's end is read.
const maxLogEnd = 1 << 20

// printEnd prints the last n lines of a file.
func printEnd(w io.Writer, path string, n int) error {
	f, err := os.Open(path)
	if err != nil {
		return crux.Errorf("logs", crux.NotFound, "%w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return crux.Errorf("logs", crux.Internal, "%w", err)
	}
	from := max(0, st.Size()-maxLogEnd)
	text, err := io.ReadAll(io.NewSectionReader(f, from, st.Size()-from))
	if err != nil {
		return crux.Errorf("logs", crux.Internal, "%s: %w", path, err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if len(lines[len(lines)-1]) == 0 {
		lines = lines[:len(lines)-1]
	}
	_, err = w.Write(bytes.Join(lines[max(0, len(lines)-max(n, 0)):], nil))
	return err
}
