package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/operator"
)

func newIntents() *cobra.Command {
	return newListing("intents", "List what was rolled out: what should run, and how much of it does",
		"  fulcrum intents\n  fulcrum intents -o json",
		func(ctx context.Context, c *operator.Client, _ *viper.Viper) ([]operator.Intent, error) {
			return c.Intents(ctx)
		},
		func(w io.Writer, list []operator.Intent) error {
			rows := make([][]string, 0, len(list))
			for _, i := range list {
				rows = append(rows, []string{
					string(i.API), string(i.Horde), string(i.Inst), strconv.Itoa(i.Count), strconv.Itoa(i.Serving),
					strconv.Itoa(i.Other), strconv.FormatUint(i.Version, 10), ago(i.Timestamp),
				})
			}
			return printTable(w, []string{"API", "HORDE", "INSTANCE", "WANTED", "SERVING", "OTHERS", "VERSION", "SINCE"}, rows)
		})
}

func newInventory() *cobra.Command {
	return newListing("inventory", "List what is published: what can be rolled out",
		"  fulcrum inventory\n  fulcrum inventory -o json",
		func(ctx context.Context, c *operator.Client, _ *viper.Viper) ([]crux.Function, error) {
			return c.Inventory(ctx)
		},
		func(w io.Writer, list []crux.Function) error {
			rows := make([][]string, 0, len(list))
			for _, f := range list {
				rows = append(rows, []string{
					string(f.Inst), string(f.Horde), string(f.Kind), f.File, f.Func,
					fmt.Sprintf("%.1f MiB", float64(f.Size)/(1<<20)), f.Checksum.String()[:12], ago(f.Timestamp),
				})
			}
			return printTable(w, []string{"INSTANCE", "HORDE", "KIND", "FILE", "FUNCTION", "SIZE", "SHA-256", "SINCE"}, rows)
		})
}
