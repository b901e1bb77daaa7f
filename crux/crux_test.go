package crux

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestIDsReadBackAsPrinted(t *testing.T) {
	n := NodeIDOf(make([]byte, 32))
	if got, err := ParseNodeID(n.String()); err != nil || got != n {
		t.Errorf("node ID: %v, %v", got, err)
	}
	f := FlockID{9, 8}
	if got, err := ParseFlockID(f.String()); err != nil || got != f {
		t.Errorf("flock ID: %v, %v", got, err)
	}
	c := Checksum{7}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var again Checksum
	if err := json.Unmarshal(b, &again); err != nil || again != c {
		t.Errorf("checksum: %v, %v", again, err)
	}
	for _, s := range []string{"", "zz", n.String() + "0", "zz02030405060708"} {
		if _, err := ParseNodeID(s); KindOf(err) != Invalid {
			t.Errorf("ParseNodeID(%q): %v", s, err)
		}
	}
}

func TestRowOrderIsIncarnationThenSequence(t *testing.T) {
	a, b, c := Row{Incarnation: 1, Seq: 9}, Row{Incarnation: 2, Seq: 1}, Row{Incarnation: 2, Seq: 2}
	if !b.Newer(&a) || !c.Newer(&b) || a.Newer(&b) || b.Newer(&b) {
		t.Error("wrong order")
	}
}

func TestEveryFieldOfARowIsSigned(t *testing.T) {
	base := Row{Node: NodeID{1}, Horde: "h", API: "a1", Inst: "a1_1", NetID: "127.0.0.1:1", Status: Serving, Key: []byte{1},
		Generation: 1, Incarnation: 1, Seq: 1, TTL: time.Second, Issued: time.Unix(1, 0)}
	for name, change := range map[string]func(*Row){
		"node": func(r *Row) { r.Node[0]++ }, "horde": func(r *Row) { r.Horde += "x" }, "api": func(r *Row) { r.API += "x" },
		"inst": func(r *Row) { r.Inst += "x" }, "netid": func(r *Row) { r.NetID += "x" }, "status": func(r *Row) { r.Status++ },
		"key": func(r *Row) { r.Key = []byte{2} }, "generation": func(r *Row) { r.Generation++ },
		"incarnation": func(r *Row) { r.Incarnation++ }, "seq": func(r *Row) { r.Seq++ }, "ttl": func(r *Row) { r.TTL++ },
		"issued":          func(r *Row) { r.Issued = r.Issued.Add(1) },
		"a field's edges": func(r *Row) { r.API, r.Inst = "a1a", "1_1" },
	} {
		r := base
		change(&r)
		if bytes.Equal(r.SignedBytes(), base.SignedBytes()) {
			t.Errorf("%s is not in what is signed", name)
		}
	}
}

func TestRevisionsOfOtherFlocksAreNotOrdered(t *testing.T) {
	a, b := Revision{FlockID{1}, 1, 5}, Revision{FlockID{2}, 9, 9}
	if a.Before(b) || b.Before(a) {
		t.Error("revisions of two flocks were ordered")
	}
	if !a.Before(Revision{FlockID{1}, 2, 0}) || !a.Before(Revision{FlockID{1}, 1, 6}) || a.Before(a) {
		t.Error("wrong order within a flock")
	}
}

func TestKindOfFindsTheOutermostKind(t *testing.T) {
	err := Errorf("inner", NotFound, "no such thing")
	if KindOf(Wrap("outer", fmt.Errorf("mid: %w", err))) != NotFound {
		t.Error("Wrap lost the kind")
	}
	if KindOf(Errorf("outer", Denied, "%w", err)) != Denied || KindOf(errors.New("x")) != Internal {
		t.Error("wrong kind")
	}
	if KindOf(context.DeadlineExceeded) != Timeout || KindOf(fmt.Errorf("x: %w", context.Canceled)) != Canceled {
		t.Error("context errors have no kind")
	}
	if Wrap("op", nil) != nil {
		t.Error("Wrap of nil is not nil")
	}
}

func TestViewFindsMembers(t *testing.T) {
	var v View
	for i := range byte(20) {
		v.Members = append(v.Members, Member{ID: NodeID{2 * i}, Incarnation: uint64(i)})
	}
	for i := range byte(40) {
		m, ok := v.Member(NodeID{i})
		if ok != (i%2 == 0) || ok && m.Incarnation != uint64(i/2) {
			t.Fatalf("Member(%d) = %+v, %v", i, m, ok)
		}
	}
}

func TestDocsAreCheckedAgainstTheirKey(t *testing.T) {
	body, err := json.Marshal(Intent{Horde: "web", API: "a1", Inst: "a1_2", Count: 3})
	if err != nil {
		t.Fatal(err)
	}
	d := Doc{DocKey: DocKey{IntentDoc, "web/a1"}, Version: 1, Body: body}
	if i, err := d.Intent(); err != nil || i.Count != 3 {
		t.Errorf("got %+v, %v", i, err)
	}
	for _, name := range []string{"web/a2", "default/a1", ""} {
		bad := d
		bad.Name = name
		if _, err := bad.Intent(); KindOf(err) != Corrupt {
			t.Errorf("an intent under the name %q: %v", name, err)
		}
	}
	if _, err := d.Function(); KindOf(err) != Corrupt {
		t.Errorf("an intent read as a muster row: %v", err)
	}
	other := d
	other.Version++
	if slices.Equal(d.SignedBytes("b"), other.SignedBytes("b")) || slices.Equal(d.SignedBytes("b"), d.SignedBytes("c")) {
		t.Error("version or bloc is not in what is signed")
	}
}
