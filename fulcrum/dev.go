package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/local"
)

func newDev() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a bloc on this machine until Ctrl-C",
		Long: `Run a bloc of several real node processes on loopback addresses of this machine,
and say how to talk to them. It stays until Ctrl-C. With --dir, the nodes find
their keys, artifacts and intents again the next time.`,
		Example: `  fulcrum dev
  fulcrum dev --nodes 50
  fulcrum dev --net 127.9.1.0/24 --dir /tmp/second`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := configure(cmd)
			if err != nil {
				return err
			}
			return runDev(cmd.Context(), cmd, v)
		},
	}
	f := cmd.Flags()
	f.Int("nodes", 5, "how many nodes")
	f.String("dir", "", "`folder` for the nodes (default: a temporary one, removed at the end)")
	f.Uint16("port", 0, "UDP and TCP `port` of every node (default: one that is free)")
	f.String("log-level", "info", "log level of the nodes")
	addNet(cmd)
	addStore(cmd)
	return cmd
}

func addNet(cmd *cobra.Command) {
	cmd.Flags().String("net", "127.0.0.0/24", "loopback `network` of the nodes, so that several blocs can run at once")
}

// localOptions reads the settings that dev and demo share.
func localOptions(v *viper.Viper) (o local.Options, err error) {
	if o.Net, err = netip.ParsePrefix(v.GetString("net")); err != nil {
		return o, crux.Errorf("read --net", crux.Invalid, "%q is not a network such as 127.0.1.0/24", v.GetString("net"))
	}
	if o.Exe, err = os.Executable(); err != nil {
		return o, crux.Errorf("find own binary", crux.Internal, "%w", err)
	}
	o.Store = v.GetString("store")
	s := s3Config(v)
	o.Env = []string{
		"FULCRUM_S3_ENDPOINT=" + s.Endpoint, "FULCRUM_S3_REGION=" + s.Region,
		"FULCRUM_S3_ACCESS_KEY=" + s.AccessKey, "FULCRUM_S3_SECRET_KEY=" + s.SecretKey,
	}
	return o, nil
}

func runDev(ctx context.Context, cmd *cobra.Command, v *viper.Viper) (err error) {
	o, err := localOptions(v)
	if err != nil {
		return err
	}
	o.Nodes, o.Port, o.Level = v.GetInt("nodes"), uint16(v.GetUint("port")), v.GetString("log-level")
	if o.Dir = v.GetString("dir"); o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "fulcrum-dev-"); err != nil {
			return crux.Errorf("dev", crux.Internal, "%w", err)
		}
		defer os.RemoveAll(o.Dir)
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	b, err := local.Create(o)
	if err != nil {
		return err
	}
	defer b.Close()
	defer func() {
		fmt.Fprintln(cmd.ErrOrStderr(), "ending the nodes …")
		if serr := b.StopAll(closeTimeout + 5*time.Second); err == nil {
			err = serr
		}
	}()
	start := time.Now()
	for _, n := range b.Nodes {
		if err := b.Start(n); err != nil {
			return err
		}
	}
	started := time.Since(start)
	s, err := b.AwaitReady(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	printDev(cmd, b, s, o.Dir, started, time.Since(start))
	return stay(ctx, cmd, b)
}

func printDev(cmd *cobra.Command, b *local.Bloc, s local.State, dir string, started, ready time.Duration) {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "bloc dev is ready: %d nodes, one flock, leader %s; %.1f s after the first process, %.1f s after the last\n\n",
		s.Members, s.Leader.Name, ready.Seconds(), (ready - started).Seconds())
	show := b.Nodes
	if len(show) > 10 {
		show = show[:10]
	}
	rows := make([][]string, 0, len(show))
	for _, n := range show {
		rows = append(rows, []string{n.Name, n.ID.String(), n.Addr.String(), fmt.Sprint(n.PID())})
	}
	_ = printTable(w, []string{"NODE", "ID", "ADDRESS", "PID"}, rows)
	if len(show) < len(b.Nodes) {
		fmt.Fprintf(w, "… and %d more\n", len(b.Nodes)-len(show))
	}
	fmt.Fprintf(w, `
Talk to it from another terminal:

  export FULCRUM_NODE=%s
  export FULCRUM_SIGN_KEY=%s
  fulcrum status
  fulcrum services

Logs: %s/node*/fulcrum.log. Ctrl-C ends it.
`, b.Nodes[0].Socket(), filepath.Join(dir, local.OperatorKey), dir)
}

// stay waits for Ctrl-C and says when a node ends meanwhile.
func stay(ctx context.Context, cmd *cobra.Command, b *local.Bloc) error {
	ended := make(chan *local.Node)
	stop := make(chan struct{})
	defer close(stop)
	for _, n := range b.Nodes {
		go func() {
			select {
			case <-n.Exited():
				select {
				case ended <- n:
				case <-stop:
				}
			case <-stop:
			}
		}()
	}
	left := len(b.Nodes)
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-ended:
			fmt.Fprintf(cmd.ErrOrStderr(), "%s has ended; see %s/fulcrum.log\n", n.Name, n.Dir)
			if left--; left == 0 {
				return crux.Errorf("dev", crux.Unavailable, "all nodes have ended")
			}
		}
	}
}
