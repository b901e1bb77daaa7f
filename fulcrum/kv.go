package main

import (
	"context"
	"fmt"
	"io"

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

A PATTERN has a glob for each element (*, ?, [a-z]); ** as its last element
stands for whatever follows.`,
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

// kvEntry is a key as JSON has it.
type kvEntry struct {
	Key     string          `json:"key"`
	Type    fabric.Type     `json:"type"`
	Value   *fabric.Value   `json:"value"`
	Version *fabric.Version `json:"version,omitempty"`
	raw     bool
}

func newKVGet() *cobra.Command {
	cmd := newFabricListing(&cobra.Command{
		Use:   "get KEY",
		Short: "Print what a key holds",
		Long: `Print what a key holds: a register's text, a counter's number, anything else as
JSON. Text of several lines is printed as JSON has it, and bytes that are no
text as {"base64": ...}; with --raw a register's bytes come as they are.`,
		Example:           "  fulcrum kv get config/limit\n  fulcrum kv get calls/web -o json\n  fulcrum kv get config/routes --raw > routes.json",
		Args:              cobra.ExactArgs(1),
		PreRunE:           keyFirst,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, c *operator.Fabric, v *viper.Viper, args []string) (kvEntry, error) {
		key, err := fabric.ParseKey(args[0])
		if err != nil {
			return kvEntry{}, err
		}
		r, err := c.Read(ctx, key...)
		switch {
		case err != nil:
			return kvEntry{}, err
		case r.Value == nil:
			return kvEntry{}, crux.Errorf("get", crux.NotFound, "there is no key %s: 'fulcrum kv list' shows those there are", printable(args[0]))
		case v.GetBool("raw") && r.Value.Type != fabric.TypeRegister:
			return kvEntry{}, crux.Errorf("get", crux.Invalid, "the key holds a %s, and --raw is for registers", r.Value.Type)
		}
		return kvEntry{fabric.FormatKey(key), r.Value.Type, r.Value, &r.Version, v.GetBool("raw")}, nil
	}, func(w io.Writer, e kvEntry) (err error) {
		if e.raw {
			_, err = w.Write(e.Value.Bytes)
		} else {
			_, err = fmt.Fprintln(w, e.Value)
		}
		return err
	})
	cmd.Flags().Bool("raw", false, "a register's bytes as they are, and no more")
	cmd.MarkFlagsMutuallyExclusive("raw", "output")
	return cmd
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
		Use:     "list [PATTERN]",
		Short:   "List keys and what they hold",
		Long:    "List the keys that PATTERN selects (all, unless it is given) and what they hold,\ncut short; -o json has all of it.",
		Example: "  fulcrum kv list\n  fulcrum kv list 'backends/*' -o json",
		Args:    cobra.MaximumNArgs(1),
		PreRunE: func(cmd *cobra.Command, args []string) error {
			if err := notNegative(cmd, "limit"); err != nil {
				return err
			}
			return patternOnly(cmd, args)
		},
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
			list = append(list, kvEntry{fabric.FormatKey(e.Key), e.Value.Type, e.Value, nil, false})
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
	for i := range list {
		e := &list[i]
		e.Key = printable(e.Key)
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
