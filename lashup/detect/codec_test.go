package detect

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
)

func testRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 5)) }

// message draws any message.
func message(t *rapid.T) Message {
	seq := rapid.OneOf(rapid.Uint64Range(0, 20), rapid.Uint64()).Draw(t, "seq")
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		return &Ping{seq}
	case 1:
		return &Ack{seq}
	case 2:
		return &WitnessRequest{
			Seq: seq, Target: nodeID(rapid.IntRange(0, 9).Draw(t, "target")),
			Within: time.Duration(rapid.IntRange(1, 1<<16-1).Draw(t, "within")) * time.Millisecond,
		}
	}
	return &WitnessReport{seq, rapid.Bool().Draw(t, "heard")}
}

func TestMessagesReadBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := message(t)
		b := m.Append(nil)
		if len(b) != m.Size() {
			t.Fatalf("%T: %d bytes, Size says %d", m, len(b), m.Size())
		}
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v became %+v, %v", m, got, err)
		}
		if _, err := Decode(append(b, 0)); err == nil {
			t.Fatalf("%T with a byte too many was taken", m)
		}
		if _, err := Decode(b[:len(b)-1]); err == nil {
			t.Fatalf("%T without its last byte was taken", m)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, m := range []Message{&Ping{1}, &Ack{2}, &WitnessRequest{3, nodeID(4), time.Second}, &WitnessReport{5, true}} {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if m.Size() != len(b) || !bytes.Equal(m.Append(nil), b) {
			t.Errorf("%x reads as %+v, which is written otherwise", b, m)
		}
	})
}

// A machine that is told nonsense does not panic, stays within its bounds, and
// always comes to an end with its checks.
func TestNonsenseIsHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := func(crux.NodeID, int) []crux.NodeID { return []crux.NodeID{nodeID(1), nodeID(0), nodeID(2), nodeID(9)} }
		m := New(Config{Self: nodeID(0), Rand: testRand(rapid.Uint64().Draw(t, "seed")), Witnesses: ids}, 0)
		now, asked, answers := time.Duration(0), 0, 0
		count := func(r Ready) { answers += len(r.Results) }
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 60).Draw(t, "ms")) * time.Millisecond
			id := nodeID(rapid.IntRange(0, 7).Draw(t, "node"))
			switch rapid.IntRange(0, 11).Draw(t, "what") {
			case 0:
				count(m.Neighbours(now, []crux.NodeID{id, nodeID(1), nodeID(1)}))
			case 1:
				count(m.LinkLost(now, id))
			case 2:
				count(m.Accused(now, id, nodeID(rapid.IntRange(0, 7).Draw(t, "by"))))
			case 3:
				asked++
				count(m.Check(now, id, 1))
			case 4:
				count(m.Refute(now, id))
			case 5:
				count(m.Probed(now, id, Outcome(rapid.IntRange(0, 4).Draw(t, "outcome"))))
			case 6:
				count(m.Late(now, time.Second))
			case 7:
				count(m.Heard(now, id))
			case 8:
				m.Changes(now, 10)
			case 9:
				count(m.Tick(now))
			default:
				count(m.Receive(now, id, message(t)))
			}
		}
		end := now + time.Minute
		for m.NextTick() < end {
			if next := m.NextTick(); next > now {
				now = next
			}
			count(m.Tick(now))
		}
		if answers != asked {
			t.Fatalf("%d checks were asked for, %d answered", asked, answers)
		}
		if m.NextTick() <= now {
			t.Fatal("the clock stands still")
		}
	})
}
