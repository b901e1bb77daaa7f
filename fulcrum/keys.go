package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/flock/node"
)

// maxKeyFile bounds what is read of a file that should hold one key.
const maxKeyFile = 4096

func newKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make keys",
		Long: `Make keys. A bloc has a secondary key, which every node has and which admits a
node to talk, and an offline bloc key, which signs bloc files; publisher keys
sign what is published and rolled out. A node makes its own key by itself.`,
		Example: "  (umask 077; fulcrum key new > key)\n  fulcrum key public publisher.key",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeyNew(), newKeyPublic())
	return cmd
}

func newKeyNew() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Print a new key to standard output",
		Long: `Print a new key to standard output: by default a bloc's secondary key, which
admits a node to talk. Every node of the bloc needs the same one, in a file of
mode 0600. --kind bloc makes the offline key that signs bloc files, --kind
publisher one that signs what is published and rolled out.`,
		Example: `  (umask 077; fulcrum key new > key)
  (umask 077; fulcrum key new --kind bloc > bloc.key)`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := newKeyText(mustString(cmd, "kind"))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().String("kind", "secondary", "secondary, bloc or publisher")
	return cmd
}

func newKeyText(kind string) (string, error) {
	if kind == "secondary" {
		k, err := bloc.NewSecondary(rand.Reader)
		if err != nil {
			return "", err
		}
		return k.Format(), nil
	}
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	switch kind {
	case "bloc":
		return bloc.FormatBlocKey(k), nil
	case "publisher":
		return bloc.FormatPublisherKey(k), nil
	}
	return "", crux.Errorf("key new", crux.Invalid, "no kind of key is called %q: want secondary, bloc or publisher", kind)
}

func newKeyPublic() *cobra.Command {
	return &cobra.Command{
		Use:     "public FILE",
		Short:   "Print the public half of a bloc or publisher key",
		Example: "  fulcrum key public publisher.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readKeyFile(args[0])
			if err != nil {
				return err
			}
			k, err := bloc.ParsePublisherKey(text)
			if err != nil {
				if k, err = bloc.ParseBlocKey(text); err != nil {
					return crux.Errorf("key public", crux.Invalid, "%s holds neither a bloc key nor a publisher key", args[0])
				}
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), bloc.PublicKey(k.Public().(ed25519.PublicKey)))
			return err
		},
	}
}

func newNodeKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node-key",
		Short: "Print the public key of the node whose data folder this is",
		Long: `Print the public key of the node whose data folder this is, as the bloc file
lists it. The key is made on first use and never leaves the node.`,
		Example: "  fulcrum node-key --data /var/lib/fulcrum",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := configure(cmd)
			if err != nil {
				return err
			}
			key, err := node.LoadKey(v.GetString("data"))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), bloc.PublicKey(key.Public().(ed25519.PublicKey)))
			return err
		},
	}
	cmd.Flags().String("data", defaultData, "the node's data `folder`")
	return cmd
}

// readKeyFile reads a small file that holds a private key, and refuses one that
// others may read. "-" is standard input.
func readKeyFile(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(os.Stdin, maxKeyFile))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, crux.Errorf("read key", crux.NotFound, "%w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, crux.Errorf("read key", crux.Internal, "%w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, crux.Errorf("read key", crux.Denied,
			"key file %s is readable by others (mode %04o): run chmod 600 %s", path, st.Mode().Perm(), path)
	}
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

func mustString(cmd *cobra.Command, flag string) string {
	s, err := cmd.Flags().GetString(flag)
	if err != nil {
		panic(err) // the flag is defined a few lines away
	}
	return s
}
