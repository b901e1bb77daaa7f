package rpc

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/connectivity"

	"fulcrum.example/crux"
)

// rows reads "2_3@7 2_4@9d": versions of one API on node and port 7 or 9,
// serving or draining.
func rows(s string) []crux.Row {
	var out []crux.Row
	for _, f := range strings.Fields(s) {
		version, port, _ := strings.Cut(f, "@")
		status := crux.Serving
		if p, ok := strings.CutSuffix(port, "d"); ok {
			port, status = p, crux.Draining
		}
		var n byte
		fmt.Sscan(port, &n)
		out = append(out, crux.Row{Node: crux.NodeID{n}, Inst: crux.Inst("galumph" + version), NetID: crux.NetID(port), Status: status})
	}
	return out
}

func names(rows []crux.Row) map[string]bool {
	out := map[string]bool{}
	for _, r := range rows {
		out[strings.TrimPrefix(string(r.Inst), "galumph")+"@"+string(r.NetID)] = true
	}
	return out
}

func TestChoose(t *testing.T) {
	t.Parallel()
	ready, failing := connectivity.Ready, connectivity.TransientFailure
	for _, c := range []struct {
		name  string
		rows  string
		state map[crux.NetID]connectivity.State
		want  string
	}{
		{"greatest version first", "2_9@1 2_10@2", nil, "2_10@2"},
		{"the old is kept until the new is ready", "2_9@1 2_10@2", map[crux.NetID]connectivity.State{"1": ready, "2": connectivity.Connecting}, "2_9@1 2_10@2"},
		{"and let go then", "2_9@1 2_10@2", map[crux.NetID]connectivity.State{"1": ready, "2": ready}, "2_10@2"},
		{"one ready replica of the new is enough", "2_9@1 2_10@2 2_10@3", map[crux.NetID]connectivity.State{"1": ready, "2": ready, "3": failing}, "2_10@2 2_10@3"},
		{"an old one is not dialled while the new may come", "2_9@1 2_9@3 2_10@2", map[crux.NetID]connectivity.State{"1": ready}, "2_9@1 2_10@2"},
		{"all of the new fail: fall back", "2_9@1 2_9@3 2_10@2", map[crux.NetID]connectivity.State{"2": failing}, "2_9@1 2_9@3 2_10@2"},
		{"fall back no deeper than needed", "2_8@4 2_9@1 2_10@2", map[crux.NetID]connectivity.State{"2": failing}, "2_9@1 2_10@2"},
		{"draining last", "2_9@1 2_10@2d", nil, "2_9@1"},
		{"draining kept until there is another", "2_9@1 2_10@2d", map[crux.NetID]connectivity.State{"2": ready}, "2_9@1 2_10@2"},
		{"draining when there is nothing else", "2_10@2d", nil, "2_10@2"},
		{"nothing", "", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := names(choose(rank(&target{rows: rows(c.rows)}), func(id crux.NetID) connectivity.State {
				if s, ok := c.state[id]; ok {
					return s
				}
				return connectivity.Idle
			}))
			want := names(rows(c.want))
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("got %v, want %v", got, want)
			}
		})
	}
}

func TestChooseIsBoundedAndLooksFurtherWhenSomeFail(t *testing.T) {
	t.Parallel()
	var many []string
	for i := 1; i <= 100; i++ {
		many = append(many, fmt.Sprintf("2_3@%d", i))
	}
	tg := &target{rows: rows(strings.Join(many, " ")), self: crux.NodeID{42}, salt: 7}
	tiers := rank(tg)
	if tiers[0][0].Node != tg.self {
		t.Fatal("the node's own replica is not first")
	}
	fail := map[crux.NetID]bool{}
	for range 30 {
		got := choose(tiers, func(id crux.NetID) connectivity.State {
			if fail[id] {
				return connectivity.TransientFailure
			}
			return connectivity.Idle
		})
		good := 0
		for _, r := range got {
			if !fail[r.NetID] {
				good++
				fail[r.NetID] = true // the next round it fails
			}
		}
		if len(got) > 2*maxReplicas || good != maxReplicas && len(fail) < 100 {
			t.Fatalf("%d chosen, %d of them new, after %d failed", len(got), good, len(fail))
		}
		if len(fail) == 100 {
			return
		}
	}
	t.Fatal("it never got to the last")
}

func TestClientsSpreadOverReplicas(t *testing.T) {
	t.Parallel()
	tg := &target{rows: rows("2_3@1 2_3@2 2_3@3 2_3@4 2_3@5 2_3@6 2_3@7 2_3@8 2_3@9 2_3@10")}
	first := map[crux.NetID]int{}
	for salt := range uint64(1000) {
		tg.salt = salt
		first[rank(tg)[0][0].NetID]++
	}
	for id, n := range first {
		if n < 50 || n > 200 {
			t.Errorf("replica %s is first for %d of 1000 clients", id, n)
		}
	}
}

func TestIdempotentMethodsAreKnownByTheirProto(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]bool{
		"/fulcrum.galumph.Galumph/Table":    true,
		"/fulcrum.galumph.Galumph/Register": false,
		"/fulcrum.galumph.Galumph/None":     false,
		"/no.Service/Table":                 false,
		"/fulcrum.galumph.GalumphInstance/": false,
		"nonsense":                          false,
		"":                                  false,
	} {
		if idempotent(method) != want {
			t.Errorf("%q: not %v", method, want)
		}
	}
}
