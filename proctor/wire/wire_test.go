package wire

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"fulcrum.example/crux"
	"fulcrum.example/proctor/rollout"
	pb "fulcrum.example/protos/proctor"
)

func sample() Report {
	u := crux.Unit{Horde: "web", API: "galumph2", Inst: "galumph2_3", Kind: crux.Plugin, Checksum: crux.Checksum{1, 2}, Func: "Galumph2_3"}
	b := crux.Unit{Horde: crux.DefaultHorde, API: "dean1", Inst: "dean1_0", Kind: crux.Builtin, Func: "Dean1_0"}
	return Report{
		Node:     crux.NodeID{7},
		Accepted: crux.Revision{Flock: crux.FlockID{1}, Epoch: 5, N: 9},
		Wanted:   []crux.Unit{u, b},
		Units:    []crux.UnitStatus{{Unit: u, State: "backoff", PID: 12, Restarts: 3, Since: time.Unix(5, 7), Error: "exit status 1"}},
		Intents:  map[string]uint64{"web/galumph2": 4},
	}
}

func TestReportComesBackAsItWas(t *testing.T) {
	want := sample()
	got, err := ReportFrom(ReportTo(want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

func TestAssignmentComesBackAsItWas(t *testing.T) {
	r := sample()
	rev, units, err := AssignmentFrom(AssignmentTo(r.Accepted, r.Wanted))
	if err != nil || rev != r.Accepted || !reflect.DeepEqual(units, r.Wanted) {
		t.Fatalf("%v, %v, %v", rev, units, err)
	}
}

func TestProgressComesBackAsItWas(t *testing.T) {
	want := rollout.Progress{
		Horde: "web", API: "galumph2", Inst: "galumph2_3", Wanted: 3, Placed: 2, Serving: 1, Old: 1, Done: true,
		Waiting: []rollout.Waiting{{Node: crux.NodeID{7}, Why: "fetching"}}, Note: "2 nodes can run it",
	}
	got, err := ProgressFrom("web", "galumph2", ProgressTo(want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestBadFieldsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*pb.Report){
		"no node":        func(r *pb.Report) { r.Node = nil },
		"long node":      func(r *pb.Report) { r.Node = make([]byte, 9) },
		"other api":      func(r *pb.Report) { r.Wanted[0].Api = "galumph3" },
		"bad inst":       func(r *pb.Report) { r.Wanted[0].Inst = "../x" },
		"bad horde":      func(r *pb.Report) { r.Wanted[0].Horde = "a/b" },
		"short checksum": func(r *pb.Report) { r.Wanted[0].Checksum = []byte{1} },
		"long checksum":  func(r *pb.Report) { r.Wanted[0].Checksum = make([]byte, 33) },
		"no unit":        func(r *pb.Report) { r.Units[0].Unit = nil },
		"too many":       func(r *pb.Report) { r.Wanted = make([]*pb.Unit, maxUnits+1) },
	} {
		m := ReportTo(sample())
		spoil(m)
		if _, err := ReportFrom(m); err == nil || crux.KindOf(err) != crux.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := AssignmentTo(crux.Revision{}, sample().Wanted)
	m.Units = append(m.Units, m.Units[0])
	if _, _, err := AssignmentFrom(m); err == nil || crux.KindOf(err) != crux.Invalid {
		t.Errorf("listed twice: %v", err)
	}
}

func TestTextsOfChildrenCanAlwaysTravel(t *testing.T) {
	s := sample().Units[0]
	s.Error = "\xff" + strings.Repeat("ü", maxText)
	m := StatusTo(s)
	if len(m.Error) > maxText || !utf8.ValidString(m.Error) {
		t.Fatalf("%d bytes, valid %v", len(m.Error), utf8.ValidString(m.Error))
	}
	if _, err := proto.Marshal(m); err != nil {
		t.Fatal(err)
	}
}

// What a decoder lets through can be encoded and comes back the same.
func FuzzReportFrom(f *testing.F) {
	b, err := proto.Marshal(ReportTo(sample()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m pb.Report
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		r, err := ReportFrom(&m)
		if err != nil {
			return
		}
		again, err := ReportFrom(ReportTo(r))
		if err != nil || len(again.Wanted) != len(r.Wanted) || again.Node != r.Node {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func FuzzAssignmentFrom(f *testing.F) {
	b, err := proto.Marshal(AssignmentTo(sample().Accepted, sample().Wanted))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m pb.Assignment
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		rev, units, err := AssignmentFrom(&m)
		if err != nil {
			return
		}
		if _, again, err := AssignmentFrom(AssignmentTo(rev, units)); err != nil || len(again) != len(units) {
			t.Fatalf("%v became %v, %v", units, again, err)
		}
	})
}
