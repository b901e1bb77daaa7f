package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/fabric"
)

// fits fails the test where a line is wider than a terminal.
func fits(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > helpWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestTheFabricsTablesFit(t *testing.T) {
	t.Parallel()
	a, b, c := crux.NodeID{0xa}, crux.NodeID{0xb}, crux.NodeID{0xc}
	var out bytes.Buffer
	err := showFabricMembers(&out, fabric.Members{Self: a, Isolated: true, List: []fabric.Member{
		{Node: a, State: fabric.Up, Addr: netip.MustParseAddrPort("192.168.100.101:47470"), Since: time.Now().Add(-47 * time.Hour)},
		{Node: b, State: fabric.Unreachable, Addr: netip.MustParseAddrPort("192.168.100.102:47470"), RTT: 1234 * time.Millisecond, Distance: 1},
		{Node: c, State: fabric.Dead, Distance: fabric.Infinity, Master: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	fits(t, out.String())
	for _, want := range []string{"this node", "unreachable", "1234.0ms", "master", "reaches nobody"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}

	out.Reset()
	if err := showTree(&out, []fabric.TreeNode{{Node: a}, {Node: b, Parent: a, Distance: 1}, {Node: c, Parent: b, Distance: 2}, {Node: crux.NodeID{0xd}, Distance: fabric.Infinity}}); err != nil {
		t.Fatal(err)
	}
	if want := a.String() + "\n  " + b.String() + "\n    " + c.String() + "\n0d00000000000000  out of reach\n"; out.String() != want {
		t.Errorf("%s\nwant %s", &out, want)
	}

	out.Reset()
	long := &fabric.Value{Type: fabric.TypeRegister, Bytes: []byte(strings.Repeat("long ", 50))}
	if err := showKeys(&out, []kvEntry{{"config/limit", fabric.TypeRegister, long, nil, false}, {"n", fabric.TypeDisableWinsFlag, &fabric.Value{Type: fabric.TypeDisableWinsFlag}, nil, false}}); err != nil {
		t.Fatal(err)
	}
	fits(t, out.String())
	if !strings.Contains(out.String(), "…") {
		t.Errorf("not cut:\n%s", &out)
	}

	out.Reset()
	if err := showKeys(&out, []kvEntry{{"k\x1b[31m\nFAKE", fabric.TypeRegister, long, nil, false}}); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), "\n") != 2 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("a key forges rows:\n%q", &out)
	}
}

func TestEventsAndMessagesAreLines(t *testing.T) {
	t.Parallel()
	one, two := &fabric.Value{Type: fabric.TypeCounter, Count: 1}, &fabric.Value{Type: fabric.TypeCounter, Count: 2}
	key := []string{"a", "b"}
	for _, x := range []struct {
		e          fabric.Event
		text, json string
	}{
		{fabric.Event{Kind: fabric.Existing, Key: key, New: one}, "a/b = 1\n", `{"event":"existing","key":"a/b","type":"counter","new":1,"version":{"epoch":0,"number":0}}` + "\n"},
		{fabric.Event{Kind: fabric.Synced, Version: fabric.Version{Epoch: 7, Number: 9}}, "", `{"event":"synced","version":{"epoch":7,"number":9}}` + "\n"},
		{fabric.Event{Kind: fabric.Changed, Key: key, Old: one, New: two}, "a/b: 1 -> 2\n", `{"event":"changed","key":"a/b","type":"counter","old":1,"new":2,"version":{"epoch":0,"number":0}}` + "\n"},
		{fabric.Event{Kind: fabric.Existing, Key: []string{"a\x1b[31m\nb"}, New: one}, `a\x1b[31m\nb = 1` + "\n", ""},
		{fabric.Event{Kind: fabric.Changed, Key: key, OldUnknown: true, New: two}, "a/b: ? -> 2\n", ""},
		{fabric.Event{Kind: fabric.Changed, Key: key, Old: two}, "a/b: 2 -> nothing\n", `{"event":"deleted","key":"a/b","old":2,"version":{"epoch":0,"number":0}}` + "\n"},
	} {
		var text, js bytes.Buffer
		if err := printEvent(&text, x.e, false); err != nil {
			t.Fatal(err)
		}
		if err := printEvent(&js, x.e, true); err != nil {
			t.Fatal(err)
		}
		if text.String() != x.text || x.json != "" && js.String() != x.json {
			t.Errorf("%q and %s", &text, &js)
		}
	}

	forged := fabric.Message{ID: fabric.MessageID{Origin: crux.NodeID{0xa}}, Topic: "t", Payload: []byte("one\n0b00000000000000 t two")}
	var line bytes.Buffer
	if err := printMessage(&line, forged, false); err != nil || strings.Count(line.String(), "\n") != 1 {
		t.Errorf("%q, %v", &line, err)
	}

	m := fabric.Message{ID: fabric.MessageID{Origin: crux.NodeID{0xa}, Epoch: 1, Number: 2}, Topic: "t", Payload: []byte{0xff}, Gap: true}
	var text, js bytes.Buffer
	if err := printMessage(&text, m, false); err != nil {
		t.Fatal(err)
	}
	if err := printMessage(&js, m, true); err != nil {
		t.Fatal(err)
	}
	if text.String() != "0a00000000000000 t base64:/w==\n" || !strings.Contains(js.String(), `"base64":"/w==","gap":true`) {
		t.Errorf("%q and %s", &text, &js)
	}
}
