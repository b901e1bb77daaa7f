package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/fabric"
	"fulcrum.example/fulcrum/operator"
)

func newKV() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kv",
		Short: "Read, write and follow keys that every node has",
		Long: `Read, write and follow keys of the replicated store, which every node has whole.
A KEY is one or more elements joined by slashes (\/ is a slash in an element).
It holds what was first written to it: a register (put), a set (add, remove), a
counter (incr), or what services write: flags and maps. Writes of different
nodes at the same time merge. Keys below node/ID are written by that node alone.

A PATTERN has a glob for each element (*, ?, [a-z]); ** at its end stands for
whatever follows.`,
		Example: "  fulcrum kv put config/limit 100\n  fulcrum kv incr calls/web\n  fulcrum kv watch 'backends/**'",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKVGet(), newKVPut(), newKVAdd(), newKVRemove(), newKVIncr(), newKVList(), newKVWatch(), newKVDelete())
	return cmd
}

// keyFirst refuses a first argument that is no key before anybody is asked.
func keyFirst(_ *cobra.Command, args []string) error {
	_, err := fabric.ParseKey(args[0])
	return err
}

// newKVCommand makes a command whose first argument is a key.
func newKVCommand(cmd *cobra.Command, do func(ctx context.Context, c *operator.Fabric, w io.Writer, key, args []string) error) *cobra.Command {
	if cmd.PreRunE == nil {
		cmd.PreRunE = keyFirst
	}
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key, err := fabric.ParseKey(args[0])
		if err != nil {
			return err
		}
		return askFabric(cmd, func(ctx context.Context, c *operator.Fabric, _ *viper.Viper) error {
			return do(ctx, c, cmd.OutOrStdout(), key, args[1:])
		})
	}
	addNode(cmd)
	return cmd
}

// kvEntry is a key as JSON has it.
type kvEntry struct {
	Key     string          `json:"key"`
	Type    fabric.Type     `json:"type"`
	Value   *fabric.Value   `json:"value"`
	Version *fabric.Version `json:"version,omitempty"`
}

func newKVGet() *cobra.Command {
	return newFabricListing(&cobra.Command{
		Use:   "get KEY",
		Short: "Print what a key holds",
		Long: `Print what a key holds: a register's text, a counter's number, anything else as
JSON. Bytes that are no text are printed as {"base64": ...}.`,
		Example:           "  fulcrum kv get config/limit\n  fulcrum kv get calls/web -o json",
		Args:              cobra.ExactArgs(1),
		PreRunE:           keyFirst,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, c *operator.Fabric, _ *viper.Viper, args []string) (kvEntry, error) {
		key, err := fabric.ParseKey(args[0])
		if err != nil {
			return kvEntry{}, err
		}
		r, err := c.Read(ctx, key...)
		switch {
		case err != nil:
			return kvEntry{}, err
		case r.Value == nil:
			return kvEntry{}, crux.Errorf("get", crux.NotFound, "there is no key %s: 'fulcrum kv list' shows those there are", args[0])
		}
		return kvEntry{fabric.FormatKey(key), r.Value.Type, r.Value, &r.Version}, nil
	}, func(w io.Writer, e kvEntry) error {
		_, err := fmt.Fprintln(w, e.Value)
		return err
	})
}

// maxValue is the longest value that a key takes.
const maxValue = 1 << 20

func newKVPut() *cobra.Command {
	return newKVCommand(&cobra.Command{
		Use:     "put KEY VALUE|-",
		Short:   "Write a register: of several writers, the last one's value holds",
		Long:    "Write a register: of several writers, the last one's value holds. With - the\nvalue is read from standard input, as it is, 1 MiB at most.",
		Example: "  fulcrum kv put config/limit 100\n  fulcrum kv put config/routes - < routes.json",
		Args:    cobra.ExactArgs(2),
	}, func(ctx context.Context, c *operator.Fabric, w io.Writer, key, args []string) error {
		value, err := valueOrStdin(args[0], maxValue)
		if err != nil {
			return err
		}
		if err := fabric.NewRegister[[]byte](c, key...).Set(ctx, value); err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "wrote %s (%d bytes)\n", fabric.FormatKey(key), len(value))
		return err
	})
}

// valueOrStdin is an argument, or where that is -, what standard input has.
func valueOrStdin(arg string, most int64) ([]byte, error) {
	if arg != "-" {
		return []byte(arg), nil
	}
	b, err := io.ReadAll(io.LimitReader(os.Stdin, most+1))
	switch {
	case err != nil:
		return nil, crux.Errorf("read standard input", crux.Invalid, "%w", err)
	case int64(len(b)) > most:
		return nil, crux.Errorf("read standard input", crux.Exhausted, "it has more than %d bytes, the most that is taken", most)
	}
	return b, nil
}

func newKVAdd() *cobra.Command {
	return newKVCommand(&cobra.Command{
		Use:     "add KEY ELEMENT...",
		Short:   "Add elements to a set",
		Long:    "Add elements to a set, and print it. Of an add and a remove at the same time,\nthe add holds.",
		Example: "  fulcrum kv add backends/web 10.0.0.7:80 10.0.0.8:80",
		Args:    cobra.MinimumNArgs(2),
	}, func(ctx context.Context, c *operator.Fabric, w io.Writer, key, args []string) error {
		if err := c.Set(key...).Add(ctx, args...); err != nil {
			return err
		}
		return printKey(ctx, c, w, key)
	})
}

func newKVRemove() *cobra.Command {
	return newKVCommand(&cobra.Command{
		Use:     "remove KEY ELEMENT...",
		Short:   "Remove elements from a set",
		Long:    "Remove elements from a set, and print it. What is not there is no error.",
		Example: "  fulcrum kv remove backends/web 10.0.0.7:80",
		Args:    cobra.MinimumNArgs(2),
	}, func(ctx context.Context, c *operator.Fabric, w io.Writer, key, args []string) error {
		if err := c.Set(key...).Remove(ctx, args...); err != nil {
			return err
		}
		return printKey(ctx, c, w, key)
	})
}

// printKey prints what a key holds now.
func printKey(ctx context.Context, c *operator.Fabric, w io.Writer, key []string) error {
	r, err := c.Read(ctx, key...)
	if err == nil {
		_, err = fmt.Fprintln(w, r.Value)
	}
	return err
}

func newKVIncr() *cobra.Command {
	amount := func(args []string) (int64, error) {
		if len(args) == 0 {
			return 1, nil
		}
		n, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil {
			return 0, crux.Errorf("incr", crux.Invalid, "%q is not a whole number", args[0])
		}
		return n, nil
	}
	return newKVCommand(&cobra.Command{
		Use:     "incr KEY [N]",
		Short:   "Add to a counter",
		Long:    "Add N (1, unless it is given) to a counter, and print it. Increments of all\nnodes add up.",
		Example: "  fulcrum kv incr calls/web\n  fulcrum kv incr calls/web -- -5",
		Args:    cobra.RangeArgs(1, 2),
		PreRunE: func(cmd *cobra.Command, args []string) error {
			if err := keyFirst(cmd, args); err != nil {
				return err
			}
			_, err := amount(args[1:])
			return err
		},
	}, func(ctx context.Context, c *operator.Fabric, w io.Writer, key, args []string) error {
		n, err := amount(args)
		if err != nil {
			return err
		}
		if err := c.Counter(key...).Incr(ctx, n); err != nil {
			return err
		}
		return printKey(ctx, c, w, key)
	})
}

func newKVDelete() *cobra.Command {
	return newKVCommand(&cobra.Command{
		Use:     "delete KEY",
		Short:   "Delete a key, whatever it holds",
		Long:    "Delete a key, whatever it holds. What is not there is no error; what others\nwrite to it at the same time stays.",
		Example: "  fulcrum kv delete config/limit",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, c *operator.Fabric, w io.Writer, key, _ []string) error {
		if err := c.Delete(ctx, key...); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "deleted %s\n", fabric.FormatKey(key))
		return err
	})
}

// patternOf reads the pattern that a command's only argument is, all keys if
// there is none.
func patternOf(args []string) (fabric.Pattern, error) {
	if len(args) == 0 {
		return fabric.Prefix(), nil
	}
	return fabric.ParsePattern(args[0])
}

// patternOnly refuses an argument that is no pattern before anybody is asked.
func patternOnly(_ *cobra.Command, args []string) error {
	_, err := patternOf(args)
	return err
}

func newKVList() *cobra.Command {
	cmd := newFabricListing(&cobra.Command{
		Use:               "list [PATTERN]",
		Short:             "List keys and what they hold",
		Long:              "List the keys that PATTERN selects (all, unless it is given) and what they hold,\ncut short; -o json has all of it.",
		Example:           "  fulcrum kv list\n  fulcrum kv list 'backends/*' -o json",
		Args:              cobra.MaximumNArgs(1),
		PreRunE:           patternOnly,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, c *operator.Fabric, v *viper.Viper, args []string) ([]kvEntry, error) {
		p, err := patternOf(args)
		if err != nil {
			return nil, err
		}
		list := []kvEntry{}
		for e, err := range c.Scan(ctx, p, fabric.ScanOptions{Limit: v.GetInt("limit")}) {
			if err != nil {
				return nil, err
			}
			list = append(list, kvEntry{fabric.FormatKey(e.Key), e.Value.Type, e.Value, nil})
		}
		return list, nil
	}, showKeys)
	cmd.Flags().Int("limit", 0, "how many at most; 0: all")
	return cmd
}

// tableWidth is what a table keeps to where it cuts something short.
const tableWidth = 80

func showKeys(w io.Writer, list []kvEntry) error {
	keys, types := len("KEY"), len("TYPE")
	for _, e := range list {
		keys, types = max(keys, len([]rune(e.Key))), max(types, len(e.Type.String()))
	}
	const gaps = 4
	room := max(tableWidth-keys-types-gaps, 20)
	rows := make([][]string, 0, len(list))
	for _, e := range list {
		rows = append(rows, []string{e.Key, e.Type.String(), cutTo(e.Value.String(), room)})
	}
	return printTable(w, []string{"KEY", "TYPE", "VALUE"}, rows)
}

// cutTo cuts a text to so many runes.
func cutTo(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func newKVWatch() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch [PATTERN]",
		Short: "Print what keys hold, and then each change",
		Long: `Print what the keys hold that PATTERN selects (all, unless it is given), and
then each change, until it is interrupted. It goes on through upgrades and
restarts of the node. With -o json each line is an object.`,
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
	var err error
	switch out.Event {
	case "existing":
		_, err = fmt.Fprintf(w, "%s = %s\n", out.Key, e.New)
	case "changed", "deleted":
		_, err = fmt.Fprintf(w, "%s: %s -> %s\n", out.Key, old, e.New)
	}
	return err
}
