package service

import (
	"fmt"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	pb "fulcrum.example/protos/steward"
)

// Of a row that has changed several times a push has the last state, at its place in
// the order; what is over is left out, and so is what was sent.
func TestAPushHasOfARowItsLastState(t *testing.T) {
	t.Parallel()
	r := &reign{cfg: Config{Clock: clock.Real{}}}
	say := func(inst crux.Inst, seq uint64, status crux.Status) {
		row := &crux.Row{Node: crux.NodeID{1}, Horde: crux.DefaultHorde, Inst: inst, API: inst.API(), Seq: seq, Status: status, TTL: time.Minute}
		r.logLocked(change{row: row, node: row.Node})
	}
	say("a1_0", 1, crux.Starting)
	p := &pusher{r: r, sent: r.n, todo: map[crux.NodeID]bool{}} // this one was sent
	say("b1_0", 2, crux.Starting)
	say("c1_0", 3, crux.Serving)
	say("b1_0", 4, crux.Serving)
	say("c1_0", 5, crux.Gone)
	say("d1_0", 6, crux.Starting)
	r.log[len(r.log)-1].at = time.Now().Add(-time.Hour)
	r.logLocked(change{node: crux.NodeID{2}, full: true})

	m := &pb.FromSteward{}
	p.changesLocked(m)
	var got []string
	for _, h := range m.GetRows() {
		got = append(got, fmt.Sprint(h.GetRow().GetInst(), h.GetRow().GetSeq()))
	}
	if want := "[b1_04 c1_05]"; fmt.Sprint(got) != want {
		t.Errorf("%v, and not %v", got, want)
	}
	if p.sent != r.n || !p.todo[crux.NodeID{2}] {
		t.Errorf("sent up to %d of %d; to do: %v", p.sent, r.n, p.todo)
	}
}
