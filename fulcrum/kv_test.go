package main

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/local"
)

// TestTheFabricsCommands: what one node is told by the command line, another
// says; and what makes no sense is refused in one line.
func TestTheFabricsCommands(t *testing.T) {
	ctx := whole(t)
	b, _ := startBloc(ctx, t, 2)
	one, two := commands(t, b.Nodes[0]), commands(t, b.Nodes[1])
	allUp(ctx, t, watchFabric(ctx, t, b))
	says := func(c cli, want string, args ...string) {
		t.Helper()
		if out := c.ok(args...); !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("fulcrum %s says %q, which does not match %q", strings.Join(args, " "), out, want)
		}
	}
	soonSays := func(c cli, want string, args ...string) {
		t.Helper()
		if err := local.Poll(ctx, func(context.Context) string {
			if out, _, _ := c.run(args...); !regexp.MustCompile(want).MatchString(out) {
				return "fulcrum " + strings.Join(args, " ") + " to say " + want + "; it says " + out
			}
			return ""
		}); err != nil {
			t.Error(err)
		}
	}

	says(one, `^wrote config/limit \(3 bytes\)\n$`, "kv", "put", "config/limit", "100")
	soonSays(two, `^100\n$`, "kv", "get", "config/limit")
	says(one, `^1\n$`, "kv", "incr", "calls")
	soonSays(two, `^1\n$`, "kv", "get", "calls")
	says(two, `^-4\n$`, "kv", "incr", "calls", "--", "-5")
	says(one, `^\["a","b"\]\n$`, "kv", "add", "set/x", "b", "a")
	says(one, `^\["a"\]\n$`, "kv", "remove", "set/x", "b", "absent")
	says(one, `(?s)^KEY +TYPE +VALUE\ncalls .*config/limit +register +100\nset/x +set +\["a"\]\n$`, "kv", "list")
	says(one, `^deleted set/x\n$`, "kv", "delete", "set/x")
	for range 3 { // what is not there is no error
		says(one, `^there was no key set/x\n$`, "kv", "delete", "set/x")
	}
	// What was read from standard input comes back as it was.
	lines := "a\n\tb\x00\n"
	if _, errs, exit := one.runWith(lines, "kv", "put", "config/lines", "-"); exit != 0 {
		t.Errorf("exit status %d: %s", exit, errs)
	}
	if got := one.ok("kv", "get", "config/lines", "--raw"); got != lines {
		t.Errorf("%q was written, %q is read", lines, got)
	}
	says(one, `^"a\\n\\tb\\u0000\\n"\n$`, "kv", "get", "config/lines")
	one.fails(1, `the key holds a counter, and --raw is for registers`, "kv", "get", "calls", "--raw")
	says(one, `^deleted config/lines\n$`, "kv", "delete", "config/lines")
	var list []struct{ Key, Type string }
	if err := json.Unmarshal([]byte(one.ok("kv", "list", "c*/**", "-o", "json")), &list); err != nil || len(list) != 2 || list[0].Key != "calls" {
		t.Errorf("%v, %v", list, err)
	}
	one.fails(1, `there is no key set/x: 'fulcrum kv list' shows those there are`, "kv", "get", "set/x")
	one.fails(1, `holds a last-writer register, but the operation is for a counter`, "kv", "incr", "config/limit")
	one.fails(1, `belongs to node 0102030405060708: only that one writes it`, "kv", "put", "node/0102030405060708/x", "1")
	one.fails(1, `0102030405060708 is no member`, "multicast", "send", "news", "x", "--only", "0102030405060708")
	two.fails(1, `topics that begin with lashup/ are lashup's own`, "multicast", "send", "lashup/kv", "x")

	watch := start(t, two.env, "kv", "watch", "config/**")
	watch.says(ctx, t, `^config/limit = 100\n`)
	listen := start(t, two.env, "multicast", "listen", "news", "--count", "1", "-o", "json")
	listen.says(ctx, t, `listening`)
	one.ok("kv", "put", "config/limit", "200")
	watch.says(ctx, t, `config/limit: 100 -> 200\n`)
	id := strings.TrimSpace(one.ok("multicast", "send", "news", "hello", "--record-route"))
	listen.says(ctx, t, `"text":"hello","route":\[`)
	<-listen.done
	if !strings.HasPrefix(id, idOf(t, one).String()) {
		t.Errorf("the message's ID is %q", id)
	}

	a, z := idOf(t, one), idOf(t, two)
	says(one, z.String()+` .*up`, "fabric", "members")
	says(one, `^`+a.String()+"\n  "+z.String()+"\n$", "fabric", "tree")
	says(two, `^`+a.String()+"\n"+z.String()+"\n$", "fabric", "path", a.String(), z.String())
	says(one, z.String()+` is up: it answered in `, "fabric", "check", z.String())
	one.fails(1, `0102030405060708 is no member`, "fabric", "check", "0102030405060708")
}

// idOf is the node that commands talk to.
func idOf(t *testing.T, c cli) crux.NodeID {
	t.Helper()
	var s struct{ Node crux.NodeID }
	if err := json.Unmarshal([]byte(c.ok("status", "-o", "json")), &s); err != nil {
		t.Fatal(err)
	}
	return s.Node
}
