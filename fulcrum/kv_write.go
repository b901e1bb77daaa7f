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

// maxValue is the most that is read of a value or a payload, in bytes. What a key takes
// is less by what describes the value; its lashup says so.
const maxValue = 1 << 20

func newKVPut() *cobra.Command {
	return newKVCommand(&cobra.Command{
		Use:     "put KEY VALUE|-",
		Short:   "Write a register: of several writers, the last one's value holds",
		Long:    "Write a register: of several writers, the last one's value holds. With - the\nvalue is read from standard input, as it is. With what describes it a value may\ntake 1 MiB. One that begins with - comes after --.",
		Example: "  fulcrum kv put config/limit 100\n  fulcrum kv put config/offset -- -5\n  fulcrum kv put config/routes - < routes.json",
		Args:    cobra.ExactArgs(2),
	}, func(ctx context.Context, c *operator.Fabric, w io.Writer, key, args []string) error {
		value, err := valueOrStdin(args[0], maxValue)
		if err != nil {
			return err
		}
		if err := fabric.NewRegister[[]byte](c, key...).Set(ctx, value); err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "wrote %s (%d bytes)\n", printable(fabric.FormatKey(key)), len(value))
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
		Long:    "Remove elements from a set, and print it. What is not there is no error; a set\nwithout elements is no key any more.",
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
		was, err := c.Read(ctx, key...)
		if err == nil {
			err = c.Delete(ctx, key...)
		}
		if err != nil {
			return err
		}
		text := "deleted %s\n"
		if was.Value == nil {
			text = "there was no key %s\n"
		}
		_, err = fmt.Fprintf(w, text, printable(fabric.FormatKey(key)))
		return err
	})
}
