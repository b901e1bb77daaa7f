package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/operator"
)

// single is a fulcrum up with settings of its own.
type single struct {
	*process
	dir string
}

// up starts a node at addr, with a new data folder.
func up(t *testing.T, addr netip.AddrPort, flags ...string) single {
	t.Helper()
	return upIn(t, t.TempDir(), addr, flags...)
}

func upIn(t *testing.T, dir string, addr netip.AddrPort, flags ...string) single {
	t.Helper()
	t.Cleanup(func() {
		killServices(t, dir)
		nothingRuns(t, dir)
	})
	net := netip.PrefixFrom(addr.Addr(), 24).Masked()
	return single{start(t, nil, append([]string{"up", "--addr", addr.String(), "--data", dir, "--candidates", net.String()}, flags...)...), dir}
}

// file runs a command and keeps what it prints in a file that only its owner
// can read.
func (c cli) file(name string, args ...string) string {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(c.ok(args...)), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// members waits until a node is in a flock of so many alive members.
func members(ctx context.Context, t *testing.T, at string, want int) []operator.Member {
	t.Helper()
	var list []operator.Member
	eventually(ctx, t, func(ctx context.Context) string {
		all, err := ask(ctx, at, (*operator.Client).Members)
		if err != nil {
			return err.Error()
		}
		list = list[:0]
		for _, m := range all {
			if m.State == crux.Alive.String() {
				list = append(list, m)
			}
		}
		if len(list) != want {
			return at + ": another number of members"
		}
		return ""
	})
	return list
}

// TestWhoMayNotJoinIsTold: nodes that do not belong to the flock, in the same
// net and at the same port, stay outside, and their status says why. The flock
// goes on as if they were not there.
func TestWhoMayNotJoinIsTold(t *testing.T) {
	ctx := whole(t)
	b, before := startBloc(ctx, t, 2)
	net := netip.PrefixFrom(b.Nodes[0].Addr.Addr(), 24).Masked()
	bloc := filepath.Dir(b.Nodes[0].Dir)
	key, file := filepath.Join(bloc, "key"), filepath.Join(bloc, "bloc.json")
	c := cli{t: t}
	at := func(last byte) netip.AddrPort { return netip.AddrPortFrom(hostOf(net, last), b.Nodes[0].Addr.Port()) }

	older := c.file("older.json", "bloc", "new", "--bloc", "dev", "--flock-name", "dev", "--bloc-key", filepath.Join(bloc, "bloc.key"), "--file-version", "7", "--enrol-node", c.nodeKey(t.TempDir()))
	strangers := []struct {
		name, hint string
		node       single
	}{
		{"another secondary key", `nodes at 127\S+ use another key, bloc or flock name`,
			up(t, at(11), "--key-file", c.file("key", "key", "new"), "--bloc-file", file)},
		{"another flock name", `nodes at 127\S+ use another key, bloc or flock name`,
			up(t, at(12), "--key-file", key, "--bloc", "dev", "--enroll", "open", "--flock-name", "other")},
		{"another bloc", `nodes at 127\S+ use another key, bloc or flock name`,
			up(t, at(13), "--key-file", key, "--bloc", "other", "--enroll", "open", "--flock-name", "dev")},
		{"not listed", `this node is not listed in its bloc file; add ed25519:\S+ there, raise the version, and sign it`,
			up(t, at(14), "--key-file", key, "--bloc-file", file)},
		{"open enrolment", `nodes at 127\S+ admit listed keys only, this node lets any key enroll: they never merge`,
			up(t, at(15), "--key-file", key, "--bloc", "dev", "--enroll", "open", "--flock-name", "dev")},
		{"another version of the bloc file", `nodes at 127\S+ hold an older bloc file \(version 1\) than this node \(version 7\): give them the newer one`,
			up(t, at(16), "--key-file", key, "--bloc-file", older)},
	}
	for _, s := range strangers {
		hinted(ctx, t, s.node.dir, s.hint)
		st, err := status(ctx, s.node.dir)
		if err != nil || st.Members != 1 || st.Flock == before.Flock {
			t.Errorf("%s: members %d, flock %s, %v", s.name, st.Members, st.Flock, err)
		}
		out := cli{t, []string{"FULCRUM_NODE=" + s.node.dir}}.ok("status")
		if !strings.Contains(out, "\nhint ") {
			t.Errorf("%s: status shows no hint:\n%s", s.name, out)
		}
	}
	hinted(ctx, t, b.Nodes[0].Dir, `this node's bloc file is older \(version 1\) than that of nodes at 127\S+ \(version 7\): give it the newer one`)
	if after := ready(ctx, t, b); after.Flock != before.Flock || after.Leader != before.Leader || after.Members != 2 {
		t.Errorf("the flock was disturbed: %+v, before %+v", after, before)
	}
}

// nodeKey makes a data folder's node key and prints its public half.
func (c cli) nodeKey(dir string) string {
	c.t.Helper()
	return strings.TrimSpace(c.ok("node-key", "--data", dir))
}

// TestOlderBlocFileOnDisk: a node does not go back to a bloc file that it has
// had a newer one of, and takes a newer one while it runs.
func TestOlderBlocFileOnDisk(t *testing.T) {
	ctx := whole(t)
	c, dir := cli{t: t}, t.TempDir()
	key, signer := c.file("key", "key", "new"), c.file("bloc.key", "key", "new", "--kind", "bloc")
	public := c.nodeKey(dir)
	version := func(v string) string {
		return c.file("bloc.json", "bloc", "new", "--bloc", "rack7", "--bloc-key", signer, "--enrol-node", public, "--file-version", v)
	}
	one, two, three := version("1"), version("2"), version("3")
	at := netip.AddrPortFrom(hostOf(testNet(), 1), 4747)
	n := upIn(t, dir, at, "--key-file", key, "--bloc-file", two)
	members(ctx, t, dir, 1)
	on := cli{t, []string{"FULCRUM_NODE=" + dir}}
	on.fails(1, `version 1`, "bloc", "apply", one)
	if out := on.ok("bloc", "apply", three); !strings.Contains(out, "bloc file version 3 is in force") {
		t.Errorf("apply says %q", out)
	}
	n.ends(ctx, t)
	c.fails(1, `the bloc file given is version 2, but this node has had version 3: give that one or a newer`,
		"up", "--addr", at.String(), "--data", dir, "--key-file", key, "--bloc-file", two)
	foreign := c.file("bloc.json", "bloc", "new", "--bloc", "rack7", "--bloc-key", c.file("bloc.key", "key", "new", "--kind", "bloc"), "--enrol-node", public, "--file-version", "9")
	c.fails(1, `belongs to bloc rack7, the bloc file given is that of rack7 under key`,
		"up", "--addr", at.String(), "--data", dir, "--key-file", key, "--bloc-file", foreign)
}

// TestTwoBlocsInOneNet never see each other; and in an open bloc a node that
// loses its data folder joins again as a new one.
func TestTwoBlocsInOneNet(t *testing.T) {
	ctx := whole(t)
	c, net := cli{t: t}, testNet()
	key := c.file("key", "key", "new") // even the secret is the same
	const port = 4747
	flags := func(bloc string) []string { return []string{"--key-file", key, "--bloc", bloc, "--enroll", "open"} }
	at := func(last byte) netip.AddrPort { return netip.AddrPortFrom(hostOf(net, last), port) }
	a1, a2 := up(t, at(1), flags("a")...), up(t, at(2), flags("a")...)
	b1, b2 := up(t, at(3), flags("b")...), up(t, at(4), flags("b")...)
	for _, n := range []single{a1, a2, b1, b2} {
		hinted(ctx, t, n.dir, `nodes at 127\S+ use another key, bloc or flock name`) // their packets did meet
	}
	both := members(ctx, t, a1.dir, 2)
	for _, n := range []single{a1, a2} {
		seen(ctx, t, n, both, at(1), at(2))
	}
	seen(ctx, t, b2, members(ctx, t, b1.dir, 2), at(3), at(4))
	seen(ctx, t, b1, members(ctx, t, b2.dir, 2), at(3), at(4))

	before, err := status(ctx, a2.dir)
	if err != nil {
		t.Fatal(err)
	}
	a2.ends(ctx, t)
	again := up(t, at(2), flags("a")...)
	eventually(ctx, t, func(ctx context.Context) string {
		s, err := status(ctx, again.dir)
		switch {
		case err != nil:
			return err.Error()
		case s.Node == before.Node:
			t.Fatalf("the node has its old identity %s without its folder", s.Node)
		case s.Members < 2:
			return "the new node to join"
		}
		return ""
	})
	out := cli{t, []string{"FULCRUM_NODE=" + a1.dir}}.ok("status")
	if !strings.Contains(out, "enrolment is open") {
		t.Errorf("status does not warn of open enrolment:\n%s", out)
	}
}

// seen checks that a list of members has these addresses and no others.
func seen(ctx context.Context, t *testing.T, n single, list []operator.Member, want ...netip.AddrPort) {
	t.Helper()
	if len(list) != len(want) {
		t.Errorf("%s: %d members, want %d", n.dir, len(list), len(want))
	}
	for _, m := range list {
		if m.Addr != want[0] && m.Addr != want[1] {
			t.Errorf("%s has the member %s", n.dir, m.Addr)
		}
	}
	rows, err := ask(ctx, n.dir, func(c *operator.Client, ctx context.Context) ([]operator.Service, error) {
		return c.Services(ctx, crux.Selector{})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if at := string(r.NetID); !strings.HasPrefix(at, want[0].Addr().String()+":") && !strings.HasPrefix(at, want[1].Addr().String()+":") {
			t.Errorf("%s knows %s at %s", n.dir, r.Inst, at)
		}
	}
}
