package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
)

func newBloc() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bloc",
		Short: "Make, sign and show bloc files",
		Long: `A bloc file says who belongs to a bloc and what they may do: the node keys (or
that enrolment is open), the rules for calls, and whose signature publishes. It
is signed by an offline bloc key. Of two versions the higher one holds.`,
		Example: "  fulcrum bloc show bloc.json\n  fulcrum bloc apply bloc.json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBlocNew(), newBlocSign(), newBlocShow(), newBlocApply())
	return cmd
}

func newBlocNew() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Print a new signed bloc file to standard output",
		Example: `  fulcrum bloc new --bloc rack7 --bloc-key bloc.key \
      --enroll-node "$(fulcrum node-key)" --allow web:default:galumph2 \
      --publisher "$(fulcrum key public publisher.key)" > bloc.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := draftBloc(cmd)
			if err != nil {
				return err
			}
			return signAndPrint(cmd, d)
		},
	}
	f := cmd.Flags()
	f.String("bloc", "", "bloc `ID` (required)")
	f.String("flock-name", "flock", "flock `name`: flocks of other names never merge with it")
	f.String("enroll", "listed", "listed, or open: whoever holds the secondary key may join")
	f.StringArray("enroll-node", nil, "a node's public `key` (repeat for each; see fulcrum node-key)")
	f.StringArray("allow", nil, "a rule `CALLER:HORDE:API`, each exact or * (repeat)")
	f.StringArray("publisher", nil, "a publisher's public `key` (repeat)")
	f.Int("need", 1, "how many publishers must sign")
	f.Uint64("file-version", 1, "version of the file: higher replaces lower")
	f.String("bloc-key", "", "`file` with the bloc's private key, or - for standard input (required)")
	_ = cmd.MarkFlagRequired("bloc")
	_ = cmd.MarkFlagRequired("bloc-key")
	return cmd
}

// draftBloc makes the document that the flags describe.
func draftBloc(cmd *cobra.Command) (*bloc.Document, error) {
	f := cmd.Flags()
	id, err := crux.ParseBlocID(mustString(cmd, "bloc"))
	if err != nil {
		return nil, err
	}
	d := bloc.New(id, mustString(cmd, "flock-name"))
	d.Enroll = bloc.Enroll(mustString(cmd, "enroll"))
	d.Version, _ = f.GetUint64("file-version")
	if d.Nodes, err = publicKeys(f.GetStringArray("enroll-node")); err != nil {
		return nil, err
	}
	if d.Publishers, err = publicKeys(f.GetStringArray("publisher")); err != nil {
		return nil, err
	}
	if len(d.Publishers) > 0 {
		d.Need, _ = f.GetInt("need")
	}
	rules, _ := f.GetStringArray("allow")
	for _, r := range rules {
		p := strings.Split(r, ":")
		if len(p) != 3 {
			return nil, crux.Errorf("bloc new", crux.Invalid, "rule %q is not CALLER:HORDE:API", r)
		}
		d.Allow = append(d.Allow, bloc.Rule{Caller: p[0], Horde: p[1], API: p[2]})
	}
	return d, nil
}

func publicKeys(texts []string, err error) ([]bloc.PublicKey, error) {
	var out []bloc.PublicKey
	for _, t := range texts {
		k, err := bloc.ParsePublicKey(t)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, err
}

func signAndPrint(cmd *cobra.Command, d *bloc.Document) error {
	text, err := readKeyFile(mustString(cmd, "bloc-key"))
	if err != nil {
		return err
	}
	key, err := bloc.ParseBlocKey(text)
	if err != nil {
		return err
	}
	if err := d.Sign(key); err != nil {
		return err
	}
	b, err := d.Marshal()
	if err != nil {
		return err
	}
	_, err = cmd.OutOrStdout().Write(b)
	return err
}

func newBlocSign() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign FILE",
		Short: "Sign a bloc file that was edited, and print it",
		Long: `Sign a bloc file that was edited by hand, and print it to standard output. Raise
its version first: running nodes take only a higher one.`,
		Example: "  fulcrum bloc sign --bloc-key bloc.key edited.json > bloc.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := readBlocFile(args[0])
			if err != nil {
				return err
			}
			d, err := bloc.Decode(b)
			if err != nil {
				return crux.Wrap(args[0], err)
			}
			return signAndPrint(cmd, d)
		},
	}
	cmd.Flags().String("bloc-key", "", "`file` with the bloc's private key, or - for standard input (required)")
	_ = cmd.MarkFlagRequired("bloc-key")
	return cmd
}

func newBlocShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show FILE",
		Short:   "Check a bloc file and say what it holds",
		Example: "  fulcrum bloc show bloc.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := wantJSON(cmd)
			if err != nil {
				return err
			}
			b, err := readBlocFile(args[0])
			if err != nil {
				return err
			}
			d, err := bloc.Parse(b)
			if err != nil {
				return crux.Wrap(args[0], err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), d)
			}
			return showBloc(cmd.OutOrStdout(), d)
		},
	}
	addOutput(cmd)
	return cmd
}

func showBloc(w io.Writer, d *bloc.Document) error {
	fmt.Fprintf(w, "bloc      %s, version %d, signed by %s\n", d.Bloc, d.Version, d.Key)
	fmt.Fprintf(w, "flock     %s\n", d.Flock)
	if d.Enroll == bloc.Open {
		fmt.Fprintln(w, "enrolment open: whoever holds the secondary key may join")
	} else {
		fmt.Fprintf(w, "enrolment listed, %d nodes\n", len(d.Nodes))
	}
	for _, n := range d.Nodes {
		fmt.Fprintf(w, "  %s  %s\n", crux.NodeIDOf([]byte(n)), n)
	}
	if len(d.Publishers) == 0 {
		fmt.Fprintln(w, "publishers none: any member may publish")
	} else {
		fmt.Fprintf(w, "publishers %d, of which %d must sign\n", len(d.Publishers), d.Need)
	}
	for _, p := range d.Publishers {
		fmt.Fprintf(w, "  %s\n", p)
	}
	fmt.Fprintf(w, "rules     %d\n", len(d.Allow))
	for _, r := range d.Allow {
		if _, err := fmt.Fprintf(w, "  %s may call %s in horde %s\n", r.Caller, r.API, r.Horde); err != nil {
			return err
		}
	}
	return nil
}

// readBlocFile reads a bloc file, which is public but bounded.
func readBlocFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, crux.Errorf("read bloc file", crux.NotFound, "%w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, bloc.MaxSize+1))
	if err != nil {
		return nil, crux.Errorf("read bloc file", crux.Internal, "%s: %w", path, err)
	}
	return b, nil
}
