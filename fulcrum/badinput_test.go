package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/local"
	"fulcrum.example/fulcrum/operator"
	"fulcrum.example/pastiche/s3"
	"fulcrum.example/pastiche/s3/s3test"
)

// content is what a bloc runs: who serves what where, in which processes.
type content struct {
	rows  []operator.Service
	units []operator.Unit
}

func whatRuns(ctx context.Context, t *testing.T, n *local.Node) (r content) {
	t.Helper()
	var err error
	r.rows, err = ask(ctx, n.Dir, func(c *operator.Client, ctx context.Context) ([]operator.Service, error) {
		return c.Services(ctx, crux.Selector{})
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.units, err = ask(ctx, n.Dir, (*operator.Client).Units); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBadInput: a command that is given nonsense says so in one line and fails,
// and what runs goes on as it was.
func TestBadInput(t *testing.T) {
	ctx := whole(t)
	b, _ := startBloc(ctx, t, 2)
	n := b.Nodes[0]
	c := commands(t, n)
	c.galumph(2)
	servedBy(ctx, t, b, "galumph2_3", 2)
	before := whatRuns(ctx, t, n)

	other, service := artifact(t, "galumph2_4"), artifact(t, "galumph2_3")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o700); err != nil {
		t.Fatal(err)
	}
	short := cutShort(t, service)
	stranger := c.file("publisher.key", "key", "new", "--kind", "publisher")
	open := filepath.Join(t.TempDir(), "open.key")
	if err := os.WriteFile(open, []byte(c.ok("key", "new", "--kind", "publisher")), 0o644); err != nil {
		t.Fatal(err)
	}
	unsigned := cli{t, []string{"FULCRUM_NODE=" + n.Dir}}
	for _, x := range []struct {
		by   cli
		exit int
		says string
		args []string
	}{
		{c, 2, `unknown flag: --frobnicate`, []string{"status", "--frobnicate"}},
		{c, 1, `"Galumph 2" is not an API: want a lower-case name and a major version, as galumph2`, []string{"services", "--api", "Galumph 2"}},
		{c, 1, `"galumph" is not an instance version: want an API and a version, as galumph2_3`, []string{"services", "--inst", "galumph"}},
		{c, 1, `"galumph2" is not an instance version`, []string{"rollout", "galumph2"}},
		{c, 1, `"Ho rde"`, []string{"services", "--horde", "Ho rde"}},
		{c, 2, `--inst and --func are needed`, []string{"publish", service}},
		{c, 1, `galumph2_4 is not an instance of gimble1`, []string{"publish", service, "--api", "gimble1", "--inst", "galumph2_4", "--func", "F"}},
		{c, 1, `no such file`, []string{"publish", "/no/such/file", "--inst", "galumph2_4", "--func", "Galumph2_4"}},
		{c, 1, `text is neither an executable nor a plugin`, []string{"publish", text, "--inst", "galumph2_4", "--func", "Galumph2_4"}},
		{c, 1, `short is neither an executable nor a plugin, or it is cut short`, []string{"publish", short, "--inst", "galumph2_4", "--func", "Galumph2_4"}},
		{c, 1, `galumph2_3 is published already, as galumph2_3 with checksum [0-9a-f]+: give the new binary a new version`, []string{"publish", other, "--inst", "galumph2_3", "--func", "Galumph2_3"}},
		{unsigned, 1, `bloc dev wants the signatures of 1 of its 1 publishers: give each one's key file with --sign-key or FULCRUM_SIGN_KEY`, []string{"publish", other, "--inst", "galumph2_4", "--func", "Galumph2_4"}},
		{unsigned, 1, `0 of the 1 publishers' signatures`, []string{"publish", other, "--inst", "galumph2_4", "--func", "Galumph2_4", "--sign-key", stranger}},
		{unsigned, 1, `open.key is readable by others \(mode 0644\): run chmod 600`, []string{"publish", other, "--inst", "galumph2_4", "--func", "Galumph2_4", "--sign-key", open}},
		{unsigned, 1, `wants the signatures of 1 of its 1 publishers`, []string{"rollout", "galumph2_3", "--count", "1"}},
		{c, 1, `galumph2_9 is not published in horde default: publish it first with 'fulcrum publish FILE --inst galumph2_9 --func NAME'`, []string{"rollout", "galumph2_9"}},
		{c, 1, `a count of -1: want 0 or more`, []string{"rollout", "galumph2_3", "--count", "-1"}},
		{c, 1, `"123" is not a node ID: want 16 hex digits`, []string{"evict", "123"}},
		{c, 1, `text: .*not a bloc file`, []string{"bloc", "apply", text}},
		{cli{t: t}, 1, `there is no node at /no/such/node: start one with 'fulcrum up' or 'fulcrum dev', or name its socket with --node or FULCRUM_NODE`, []string{"status", "--node", "/no/such/node"}},
		{cli{t: t}, 1, `is in use by another bloc that is running: end that one, or choose another --dir`, []string{"dev", "--dir", filepath.Dir(n.Dir), "--net", testNet().String()}},
	} {
		x.by.fails(x.exit, x.says, x.args...)
	}
	if after := whatRuns(ctx, t, n); !reflect.DeepEqual(after, before) {
		t.Errorf("what runs has changed:\n%+v\nbefore:\n%+v", after, before)
	}

	// More than there are nodes: as many as can be, and the shortfall is said.
	c.fails(1, `2 of 5 serve; waiting: only 2 nodes can run it, one replica each`, "rollout", "galumph2_3", "--count", "5", "--timeout", "1s")
	servedBy(ctx, t, b, "galumph2_3", 2)
}

// cutShort copies the beginning of a program.
func cutShort(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, text[:100_000], 0o700); err != nil {
		t.Fatal(err)
	}
	return short
}

// TestUpRefuses what it cannot run with, at once and in one line, and leaves
// those that run alone.
func TestUpRefuses(t *testing.T) {
	ctx := whole(t)
	b, before := startBloc(ctx, t, 1)
	n := b.Nodes[0]
	dir := filepath.Dir(n.Dir)
	key, file := filepath.Join(dir, "key"), filepath.Join(dir, "bloc.json")
	with := func(addr netip.AddrPort, data string) []string {
		return []string{"up", "--key-file", key, "--bloc-file", file, "--addr", addr.String(), "--data", data}
	}
	free := netip.AddrPortFrom(hostOf(testNet(), 1), 4747)
	c := cli{t: t}
	c.fails(1, `address in use: another process has `+n.Addr.String()+`; end it, or give this node another address or port \(--addr\)`, with(n.Addr, t.TempDir())...)
	c.fails(1, `node1 is used by another fulcrum that is running: end that one, or choose another --data`, with(free, n.Dir)...)
	c.fails(1, `192.0.2.1 is not an address of this machine; give one that is \(--addr\)`, with(netip.MustParseAddrPort("192.0.2.1:4747"), t.TempDir())...)
	c.fails(1, `--bloc other, but \S+ is the bloc file of dev`, append(with(free, t.TempDir()), "--bloc", "other")...)
	c.fails(1, `is \d+ characters long: unix sockets in it allow \d+ at most; choose a shorter --data`, with(free, filepath.Join(t.TempDir(), strings.Repeat("x", 90)))...)

	// The TCP port alone can be in use too.
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(free.Addr(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).AddrPort()
	c.fails(1, `address in use: another process has `+taken.String(), with(taken, t.TempDir())...)
	if after := ready(ctx, t, b); after != before {
		t.Errorf("the running node: %+v, before %+v", after, before)
	}
}

// TestS3StoreThatIsWrong: a node does not start with an artifact store that is
// set up wrongly; one that cannot be reached just now is no reason not to.
func TestS3StoreThatIsWrong(t *testing.T) {
	whole(t)
	s3test.Each(t, func(t *testing.T, cfg s3.Config) {
		c := cli{t: t}
		key, net := c.file("key", "key", "new"), testNet()
		env := func(cfg s3.Config) cli {
			return cli{t, []string{
				"FULCRUM_S3_ENDPOINT=" + cfg.Endpoint, "FULCRUM_S3_ACCESS_KEY=" + cfg.AccessKey, "FULCRUM_S3_SECRET_KEY=" + cfg.SecretKey,
			}}
		}
		up := func(store string) []string {
			return []string{"up", "--key-file", key, "--bloc", "b", "--enroll", "open", "--addr", hostOf(net, 1).String(), "--data", t.TempDir(), "--store", store}
		}
		env(cfg).fails(1, `there is no bucket nowhere at \S+: make it, or name another`, up("s3://nowhere/x")...)
		wrong := cfg
		wrong.SecretKey = "not-the-secret"
		env(wrong).fails(1, `does not accept the credentials for bucket artifacts`, up("s3://artifacts/x")...)
		wrong.SecretKey = ""
		env(wrong).fails(1, `no credentials for bucket artifacts at \S+: give the access key and the secret key`, up("s3://artifacts/x")...)
		wrong = cfg
		wrong.Endpoint = "://"
		env(wrong).fails(1, `the endpoint of bucket artifacts is not http://HOST:PORT or https://HOST:PORT`, up("s3://artifacts/x")...)

		// dev passes on what its nodes say, and leaves nothing behind.
		tmp := devTemp(t)
		dev := env(cfg)
		dev.env = append(dev.env, "TMPDIR="+tmp)
		out, errs, exit := dev.run("dev", "--nodes", "2", "--net", net.String(), "--store", "s3://nowhere/x")
		if exit != 1 || !strings.Contains(errs, "there is no bucket nowhere at ") {
			t.Errorf("dev: exit status %d\n%s%s", exit, out, errs)
		}
	})
}

// TestS3Store: publish fails in one line when the store cannot be reached, the
// running system goes on without it, and what was put there serves new nodes.
func TestS3Store(t *testing.T) {
	ctx := whole(t)
	s3test.Each(t, func(t *testing.T, cfg s3.Config) {
		relay := newRelay(t, cfg.Endpoint)
		b := makeBloc(t, local.Options{Nodes: 2, Store: "s3://artifacts/x", Env: []string{
			"FULCRUM_S3_ENDPOINT=" + relay.url(), "FULCRUM_S3_ACCESS_KEY=" + cfg.AccessKey, "FULCRUM_S3_SECRET_KEY=" + cfg.SecretKey,
		}})
		startAll(t, b)
		ready(ctx, t, b)
		c := commands(t, b.Nodes[0])
		c.galumph(1)
		before := runners(ctx, t, b, "galumph2_3")
		relay.cut()
		c.fails(1, `s3://artifacts/x|bucket artifacts`, "publish", artifact(t, "galumph2_4"), "--inst", "galumph2_4", "--func", "Galumph2_4")
		c.fails(1, `galumph2_4 is not published`, "rollout", "galumph2_4")
		c.rollout("galumph2_3", 2) // the other node pulls from its peer
		for n, pid := range before {
			if runners(ctx, t, b, "galumph2_3")[n] != pid {
				t.Errorf("%s: process %d does not run on", n.Name, pid)
			}
		}
		if out := c.ok("status"); strings.Contains(out, cfg.SecretKey) {
			t.Error("status shows a secret")
		}
		for _, n := range b.Nodes {
			if strings.Contains(n.LogTail(1000), cfg.SecretKey) {
				t.Errorf("%s logs a secret", n.Name)
			}
		}
	})
}
