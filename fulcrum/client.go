package main

import (
	"context"
	"crypto/ed25519"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/fulcrum/operator"
)

// defaultData is where a node keeps its state unless told otherwise.
const defaultData = "/var/lib/fulcrum"

// addNode gives a command its --node flag.
func addNode(cmd *cobra.Command) {
	cmd.Flags().String("node", defaultData, "the node's `socket`, or its data folder")
}

// withNode connects to the node that --node, FULCRUM_NODE or the configuration
// file names, and runs f.
func withNode(cmd *cobra.Command, f func(ctx context.Context, c *operator.Client, v *viper.Viper) error) error {
	v, err := configure(cmd)
	if err != nil {
		return err
	}
	c, err := operator.Dial(v.GetString("node"))
	if err != nil {
		return err
	}
	defer c.Close()
	return f(cmd.Context(), c, v)
}

// addSigning gives a command the flag for the keys that sign documents.
func addSigning(cmd *cobra.Command) {
	cmd.Flags().StringArray("sign-key", nil, "`file` with a publisher key (repeat where several must sign)")
}

// signKeys reads the operator's keys. Several files in one environment variable
// are separated by colons, as in PATH.
func signKeys(v *viper.Viper) ([]ed25519.PrivateKey, error) {
	var keys []ed25519.PrivateKey
	for _, entry := range v.GetStringSlice("sign-key") {
		for _, file := range filepath.SplitList(entry) {
			text, err := readKeyFile(file)
			if err != nil {
				return nil, err
			}
			key, err := bloc.ParsePublisherKey(text)
			if err != nil {
				return nil, crux.Wrap(file, err)
			}
			keys = append(keys, key)
		}
	}
	return keys, nil
}
