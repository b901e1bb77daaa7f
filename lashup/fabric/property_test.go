package fabric

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/overlay"
	"fulcrum.example/lashup/route"
)

// Whatever links break, hosts fall silent and neighbours say, every machine keeps
// its promises after each step (Flaw, in bloc.apply); and when all is well again,
// all see all.
func TestPromisesHoldWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBloc(t, rapid.IntRange(2, 7).Draw(rt, "nodes"))
		some := func(what string) *node { return b.nodes[rapid.IntRange(0, len(b.nodes)-1).Draw(rt, what)] }
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			x, y := some("x"), some("y")
			switch rapid.IntRange(0, 6).Draw(rt, "do") {
			case 0:
				b.cut(x, y, true, rapid.Bool().Draw(rt, "both"))
			case 1:
				b.mute[x.i] = true
			case 2:
				delete(b.mute, x.i)
			case 3:
				if !b.mute[x.i] {
					b.hostile(rt, x, y)
				}
			case 4:
				b.apply(x, x.m.Check(b.now, y.m.id, 1))
			default:
				b.run(time.Duration(rapid.IntRange(1, 1000).Draw(rt, "wait")) * ms)
			}
		}
		clear(b.mute)
		b.run(90 * time.Second)
		for _, nd := range b.nodes {
			for _, o := range b.nodes {
				if s, why := nd.m.State(o.m.id); s != route.Up {
					rt.Fatalf("in the end %v is %v (%v) at %v; neighbours %v, cuts %v", o.m.id, s, why, nd.m.id, nd.m.Neighbours(), nd.m.Own().Cuts)
				}
			}
		}
	})
}

// hostile has y send x something that it has no cause to.
func (b *bloc) hostile(rt *rapid.T, x, y *node) {
	third := id(rapid.IntRange(0, 9).Draw(rt, "third"))
	y.m.clock++ // it is y that lies
	lie := with(y.m.Own(), y.m.Clock(), route.Cut{Node: third, Why: route.Why(rapid.IntRange(0, 5).Draw(rt, "why"))})
	if third == y.m.id || third.IsZero() {
		lie.Cuts = nil
	}
	frames := []Message{
		news(lie),
		&overlay.Disconnect{Try: third},
		&overlay.Neighbour{High: rapid.Bool().Draw(rt, "high")},
		&overlay.ForwardJoin{Node: third, Room: 3, TTL: 2},
		&overlay.Accept{Room: 2, Others: []crux.NodeID{third}},
		Raw{0x55},
	}
	datagrams := []Message{
		&detect.Ack{Seq: 5},
		&detect.WitnessRequest{Seq: 1, Target: third, Within: 50 * ms},
		&detect.WitnessReport{Seq: 1, Heard: rapid.Bool().Draw(rt, "heard")},
	}
	if rapid.Bool().Draw(rt, "frame") {
		b.apply(x, x.m.Frame(b.now, y.m.id, frames[rapid.IntRange(0, len(frames)-1).Draw(rt, "which")]))
	} else {
		b.apply(x, x.m.Datagram(b.now, y.m.id, datagrams[rapid.IntRange(0, len(datagrams)-1).Draw(rt, "which")]))
	}
}
