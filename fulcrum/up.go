package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/fulcrum/boot"
	"fulcrum.example/pastiche/s3"
	"fulcrum.example/picket/host"
)

// defaultPort is the flock's UDP and the node's TCP port where --addr has none.
const defaultPort = 4747

func newUp() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Power up this node: join the flock, register, run services",
		Long: `Power up this node: find the others of its bloc, form one flock with them, and
run services. It stays until it is told to end (SIGTERM, Ctrl-C): then it drains
and stops its services. Killed, it leaves them running, and takes them over when
it is started again.

The bloc file says who may be a member. Without one, enrolment is open to
whoever holds the secondary key, and that must be said: --enroll=open.`,
		Example: `  fulcrum up --key-file key --bloc-file bloc.json --addr 10.0.0.7
  FULCRUM_S3_SECRET_KEY=... fulcrum up --config /etc/fulcrum.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := configure(cmd)
			if err != nil {
				return err
			}
			cfg, err := upConfig(cmd, v)
			if err != nil {
				return err
			}
			return runNode(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.String("bloc", "", "bloc `ID` (default: the bloc file's)")
	f.String("key-file", "", "`file` with the bloc's secondary key, mode 0600; - for standard input")
	f.String("previous-key-file", "", "`file` with the former secondary key, while keys are changed")
	f.String("bloc-file", "", "bloc `file`: who may be a member, who may call what")
	f.String("enroll", "", "open: without a bloc file, whoever holds the key may join")
	f.String("flock-name", "", "flock `name` (default: the bloc file's, or \"flock\")")
	f.String("addr", "", "this node's `IP[:PORT]` (default: the first one that is up)")
	f.String("data", defaultData, "data `folder`: the node's key, caches, services' folders")
	f.StringSlice("candidates", nil, "where other nodes may be: `CIDRs`, addresses, @FILE (default: own subnet)")
	f.String("log-level", "info", "debug, info, warn or error")
	addStore(cmd)
	f.Int64("cache-mib", 4096, "how much the artifact cache may hold, in `MiB`")
	f.Duration("drain", 0, "how long a service may take to drain (default 10s)")
	return cmd
}

// addStore gives a command the flags of the artifact store.
func addStore(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("store", "", "where artifacts are kept, a `URL`: s3://BUCKET/PREFIX or dir:PATH (default: a folder on this machine)")
	f.String("s3-endpoint", "", "S3 server as `URL`, as http://127.0.0.1:9000")
	f.String("s3-region", "us-east-1", "S3 `region`")
}

// s3Config reads where the S3 server is, and the credentials, which have no
// flags: a command line is public.
func s3Config(v *viper.Viper) s3.Config {
	return s3.Config{
		Endpoint: v.GetString("s3-endpoint"), Region: v.GetString("s3-region"),
		AccessKey: v.GetString("s3-access-key"), SecretKey: v.GetString("s3-secret-key"),
	}
}

// upConfig makes a node's configuration of the settings.
func upConfig(cmd *cobra.Command, v *viper.Viper) (boot.Config, error) {
	cfg := boot.Config{
		Data: v.GetString("data"), FlockName: v.GetString("flock-name"), Candidates: v.GetStringSlice("candidates"),
		Store: v.GetString("store"), S3: s3Config(v), CacheBytes: v.GetInt64("cache-mib") << 20,
		Drain: v.GetDuration("drain"), Children: children, Version: versionText(),
	}
	var err error
	if cfg.Log, err = newLogger(os.Stderr, v.GetString("log-level")); err != nil {
		return cfg, &usageError{cmd.CommandPath(), err}
	}
	switch {
	case cfg.Drain < 0:
		return cfg, crux.Errorf("up", crux.Invalid, "--drain=%v: want 0 or more", cfg.Drain)
	case cfg.CacheBytes <= 0:
		return cfg, crux.Errorf("up", crux.Invalid, "--cache-mib=%d: want 1 or more", v.GetInt64("cache-mib"))
	}
	if cfg.Addr, err = ownAddr(v.GetString("addr")); err != nil {
		return cfg, err
	}
	if cfg.Secrets, err = secrets(v); err != nil {
		return cfg, err
	}
	if err := blocSettings(&cfg, v); err != nil {
		return cfg, err
	}
	return cfg, nil
}

// secrets reads the secondary keys: the current one and, while keys are
// changed, the one before.
func secrets(v *viper.Viper) ([]bloc.Secondary, error) {
	if v.GetString("key-file") == "" {
		return nil, crux.Errorf("up", crux.Invalid,
			"no secondary key: make one with '(umask 077; fulcrum key new > key)' and name it with --key-file; all nodes of a bloc have the same")
	}
	var out []bloc.Secondary
	for _, name := range []string{"key-file", "previous-key-file"} {
		path := v.GetString(name)
		if path == "" {
			continue
		}
		text, err := readKeyFile(path)
		if err != nil {
			return nil, err
		}
		k, err := bloc.ParseSecondary(text)
		if err != nil {
			return nil, crux.Wrap(path, err)
		}
		out = append(out, k)
	}
	return out, nil
}

// blocSettings reads the bloc file, or checks that open enrolment is meant.
func blocSettings(cfg *boot.Config, v *viper.Viper) error {
	id, file, enroll := v.GetString("bloc"), v.GetString("bloc-file"), v.GetString("enroll")
	switch {
	case enroll != "" && enroll != "open":
		return crux.Errorf("up", crux.Invalid, "--enroll=%s: want open, or a bloc file that lists the nodes (--bloc-file)", enroll)
	case file == "" && enroll == "":
		return crux.Errorf("up", crux.Invalid,
			"no bloc file: give --bloc-file, or say --enroll=open if whoever holds the secondary key may join and run code here")
	case file != "" && enroll != "":
		return crux.Errorf("up", crux.Invalid, "--enroll=%s does not go with --bloc-file: the file says how nodes are enrolled", enroll)
	case file == "":
		if id == "" {
			return crux.Errorf("up", crux.Invalid, "no bloc ID: give --bloc")
		}
		b, err := crux.ParseBlocID(id)
		cfg.Bloc = b
		return err
	}
	text, err := readBlocFile(file)
	if err != nil {
		return err
	}
	if cfg.BlocFile, err = bloc.Parse(text); err != nil {
		return crux.Wrap(file, err)
	}
	if id != "" && id != string(cfg.BlocFile.Bloc) {
		return crux.Errorf("up", crux.Invalid, "--bloc %s, but %s is the bloc file of %s", id, file, cfg.BlocFile.Bloc)
	}
	if cfg.FlockName != "" && cfg.FlockName != cfg.BlocFile.Flock {
		return crux.Errorf("up", crux.Invalid, "--flock-name %s, but %s names the flock %s", cfg.FlockName, file, cfg.BlocFile.Flock)
	}
	cfg.Bloc, cfg.FlockName = cfg.BlocFile.Bloc, cfg.BlocFile.Flock
	return nil
}

// ownAddr reads --addr, or finds the machine's first address.
func ownAddr(s string) (netip.AddrPort, error) {
	if s == "" {
		a, err := boot.FirstAddr()
		return netip.AddrPortFrom(a, defaultPort), err
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(a, defaultPort), nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 {
		return a, crux.Errorf("up", crux.Invalid, "--addr %q is not IP or IP:PORT", s)
	}
	return a, nil
}

func newLogger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("no log level %q: want debug, info, warn or error", level)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}

// closeTimeout bounds how long a node may take to end in good order.
const closeTimeout = 30 * time.Second

// runNode runs a node until ctx ends.
func runNode(ctx context.Context, cfg boot.Config) error {
	abs, err := filepath.Abs(cfg.Data)
	if err != nil {
		return err
	}
	cfg.Data = abs
	start, end := context.WithCancel(ctx)
	var starting sync.WaitGroup
	starting.Go(func() { host.EaseStart(start) })
	defer starting.Wait()
	defer end()
	n, err := boot.Open(ctx, cfg)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		cfg.Log.Info("ending: draining services")
	case err = <-n.Failed():
		cfg.Log.Error("ending", "error", err)
	}
	ending, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if cerr := n.Close(ending); err == nil {
		err = cerr
	}
	return err
}
