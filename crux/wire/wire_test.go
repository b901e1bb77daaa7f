package wire

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"fulcrum.example/crux"
	"fulcrum.example/protos/node"
)

func sampleRow() crux.Row {
	return crux.Row{
		Node: crux.NodeID{1, 2}, Horde: "web", API: "galumph2", Inst: "galumph2_3", NetID: "127.0.0.1:5",
		Status: crux.Serving, Key: make([]byte, 32), Generation: 3, Incarnation: 4, Seq: 5,
		TTL: 30 * time.Second, Issued: time.Unix(0, 77), Signature: []byte("sig"),
	}
}

func TestRowComesBackAsItWas(t *testing.T) {
	r := sampleRow()
	got, err := RowFrom(RowTo(&r))
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Fatalf("got %+v, %v; want %+v", got, err, r)
	}
}

func TestRowWithBadFieldsIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*node.Row){
		"no node":      func(r *node.Row) { r.Node = nil },
		"short node":   func(r *node.Row) { r.Node = []byte{1} },
		"other api":    func(r *node.Row) { r.Api = "galumph3" },
		"no inst":      func(r *node.Row) { r.Inst = "galumph2" },
		"bad horde":    func(r *node.Row) { r.Horde = "A b" },
		"bad status":   func(r *node.Row) { r.Status = 9 },
		"bad key":      func(r *node.Row) { r.Key = []byte{1} },
		"endless ttl":  func(r *node.Row) { r.TtlNano = 1 << 62 },
		"negative ttl": func(r *node.Row) { r.TtlNano = -1 },
		"bad netid":    func(r *node.Row) { r.Netid = "nowhere" },
	} {
		r := sampleRow()
		m := RowTo(&r)
		spoil(m)
		if _, err := RowFrom(m); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%s: got %v, want an error of kind invalid", name, err)
		}
	}
}

func TestViewComesBackAsItWas(t *testing.T) {
	at := netip.MustParseAddrPort("127.0.0.1:9")
	v := &crux.View{
		Bloc: "b", Name: "n", Flock: crux.FlockID{1}, Epoch: 2, Version: 3, Self: crux.NodeID{1}, Leader: crux.NodeID{2},
		Acting: true, Synced: true,
		Members: []crux.Member{{ID: crux.NodeID{1}, Addr: at, Key: make(ed25519.PublicKey, 32), Incarnation: 8, State: crux.Lost}},
		Evicted: []crux.NodeID{{3}, {4}},
		Hints:   []crux.Hint{{From: at, Authenticated: true, Text: "x"}},
	}
	got, err := ViewFrom(ViewTo(v))
	if err != nil || !reflect.DeepEqual(got, v) {
		t.Fatalf("got %+v, %v; want %+v", got, err, v)
	}
}

func TestEveryKindSurvivesTheWire(t *testing.T) {
	for k := crux.Internal; k <= crux.NotSupported; k++ {
		err := FromStatus(ToStatus(fmt.Errorf("outer: %w", crux.Errorf("op", k, "text"))))
		if crux.KindOf(err) != k || err.Error() != "outer: op: text" {
			t.Errorf("%v came back as %v %q", k, crux.KindOf(err), err)
		}
		if status.Code(err) != kindCodes[k] {
			t.Errorf("%v has code %v", k, status.Code(err))
		}
	}
	if ToStatus(nil) != nil || FromStatus(nil) != nil {
		t.Error("nil did not stay nil")
	}
	if got := status.Code(ToStatus(errors.New("plain"))); got != codes.Internal {
		t.Errorf("a plain error has code %v, want Internal", got)
	}
}

func FuzzRowFrom(f *testing.F) {
	r := sampleRow()
	b, err := proto.Marshal(RowTo(&r))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m node.Row
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		row, err := RowFrom(&m)
		if err != nil {
			return
		}
		if again, err := RowFrom(RowTo(&row)); err != nil || !reflect.DeepEqual(again, row) {
			t.Fatalf("%+v came back as %+v, %v", row, again, err)
		}
	})
}
