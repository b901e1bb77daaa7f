package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
)

// end is a node that notes what its streams do.
type end struct {
	node *Node[int]
	in   []*Stream[int]
	got  []int
	at   []time.Duration
	log  []string
	on   func(s *Stream[int])
}

func (e *end) Receive(time.Duration, netip.AddrPort, int) {}
func (e *end) Wake(time.Duration)                         {}

func (e *end) Accepted(_ time.Duration, s *Stream[int]) {
	e.in = append(e.in, s)
	e.log = append(e.log, "accepted")
}

func (e *end) Opened(_ time.Duration, s *Stream[int]) {
	e.log = append(e.log, "opened")
	if e.on != nil {
		e.on(s)
	}
}

func (e *end) Deliver(now time.Duration, _ *Stream[int], p int) {
	e.got, e.at = append(e.got, p), append(e.at, now)
}

func (e *end) Broken(now time.Duration, _ *Stream[int], why crux.Kind) {
	e.log = append(e.log, fmt.Sprintf("%v@%v", why, now.Round(ms)))
}

func (e *end) saw() string { return strings.Join(e.log, " ") }

func ends(n *Net[int], count int) []*end {
	var out []*end
	for i := range count {
		e := &end{}
		e.node = n.Add(addr(i), e)
		out = append(out, e)
	}
	return out
}

// joined are two nodes with a stream from the first to the second.
func joined(t *testing.T, opt Options[int]) (*Net[int], []*end, *Stream[int]) {
	t.Helper()
	n := New[int](opt)
	e := ends(n, 2)
	s := e[0].node.Dial(addr(1), 10*time.Second)
	n.RunUntil(100 * ms)
	if e[0].saw() != "opened" || e[1].saw() != "accepted" {
		t.Fatalf("the dial: %q and %q", e[0].saw(), e[1].saw())
	}
	return n, e, s
}

func TestNodesMayBeJoinedFromTheStart(t *testing.T) {
	n := New[int](Options[int]{MinDelay: ms, MaxDelay: ms})
	e := ends(n, 2)
	a, b := e[0].node.Join(e[1].node)
	a.Send(1, 10)
	b.Send(2, 10)
	n.RunUntil(ms)
	if !slices.Equal(e[0].got, []int{2}) || !slices.Equal(e[1].got, []int{1}) || e[0].saw()+e[1].saw() != "" {
		t.Errorf("got %v and %v; %q and %q", e[0].got, e[1].got, e[0].saw(), e[1].saw())
	}
}

func TestAStreamIsOrdered(t *testing.T) {
	n, e, s := joined(t, Options[int]{Seed: 1, MinDelay: ms, MaxDelay: 9 * ms})
	var want []int
	for i := range 100 {
		s.Send(i, 50)
		want = append(want, i)
	}
	e[1].in[0].Send(7, 50)
	n.RunUntil(120 * ms)
	if !slices.Equal(e[1].got, want) || !slices.Equal(e[0].got, []int{7}) {
		t.Errorf("got %v, and back %v", e[1].got, e[0].got)
	}
	if c := e[0].node.Counters(); c.SentBytes != 100*50+60+52+52 {
		t.Errorf("the dialler sent %d bytes", c.SentBytes)
	}
}

func TestALostSegmentIsLateAndHoldsUpTheRest(t *testing.T) {
	n, e, s := joined(t, Options[int]{Seed: 1, MinDelay: 2 * ms, MaxDelay: 2 * ms})
	e[0].node.Lossy(1)
	s.Send(1, 50)
	e[0].node.Lossy(0)
	n.RunUntil(150 * ms)
	if len(e[1].got) != 0 {
		t.Fatalf("a lost segment arrived within 50 ms")
	}
	n.RunUntil(400 * ms)
	if !slices.Equal(e[1].at, []time.Duration{306 * ms}) {
		t.Errorf("alone, it arrived at %v; want 200 ms and a round trip late", e[1].at)
	}

	e[0].node.Lossy(1)
	s.Send(2, 50)
	e[0].node.Lossy(0)
	s.Send(3, 50)
	n.RunUntil(500 * ms)
	if !slices.Equal(e[1].got, []int{1, 2, 3}) || e[1].at[1] != 406*ms || e[1].at[2] != 406*ms {
		t.Errorf("followed by another: %v at %v; want both a round trip late", e[1].got, e[1].at)
	}
}

func TestACutHoldsAStreamUpUntilItIsMended(t *testing.T) {
	for _, way := range []string{"there", "back"} {
		n, e, s := joined(t, Options[int]{Seed: 1, MinDelay: ms, MaxDelay: ms})
		if way == "there" {
			e[0].node.Cut(e[1].node)
		} else {
			e[1].node.Cut(e[0].node)
		}
		s.Send(1, 50)
		n.RunUntil(3 * time.Second)
		if (len(e[1].got) == 1) != (way == "back") {
			t.Errorf("cut %s: %v", way, e[1].got)
		}
		n.Heal()
		n.RunUntil(10 * time.Second)
		if !slices.Equal(e[1].got, []int{1}) || e[0].saw() != "opened" {
			t.Errorf("cut %s, then mended: %v, %q", way, e[1].got, e[0].saw())
		}
	}
}

func TestHowStreamsEnd(t *testing.T) {
	for _, c := range []struct {
		name       string
		do         func(n *Net[int], e []*end, s *Stream[int])
		here, peer string
	}{
		{"closed", func(_ *Net[int], _ []*end, s *Stream[int]) { s.Send(1, 9); s.Close(); s.Send(2, 9) }, "", "canceled@101ms"},
		{"process killed", func(_ *Net[int], e []*end, _ *Stream[int]) { e[1].node.Kill() }, "canceled@101ms", ""},
		{"host dead", func(_ *Net[int], e []*end, s *Stream[int]) { e[1].node.Crash(); s.Send(1, 9) }, "timeout@6.362s", ""},
		{"host dead, nothing sent", func(_ *Net[int], e []*end, s *Stream[int]) { e[1].node.Crash() }, "", ""},
		{"host dies with a segment under way", func(_ *Net[int], e []*end, s *Stream[int]) { s.Send(1, 9); e[1].node.Crash() }, "timeout@6.363s", ""},
		{"host rebooted", func(_ *Net[int], e []*end, s *Stream[int]) {
			e[1].node.Crash()
			e[1].node.Restart(&end{})
			s.Send(1, 9)
		}, "conflict@102ms", ""},
		{"host back later", func(n *Net[int], e []*end, s *Stream[int]) {
			e[1].node.Crash()
			s.Send(1, 9)
			n.At(time.Second, func() { e[1].node.Restart(&end{}) })
		}, "conflict@1.516s", ""},
		{"hung", func(_ *Net[int], e []*end, s *Stream[int]) { e[1].node.Suspend(); s.Send(1, 9) }, "", ""},
		{"killed, its last word lost", func(n *Net[int], e []*end, _ *Stream[int]) {
			e[1].node.Lossy(1)
			e[1].node.Kill()
			e[1].node.Lossy(0)
		}, "canceled@303ms", ""},
		{"killed and started again, its last word lost", func(n *Net[int], e []*end, _ *Stream[int]) {
			e[1].node.Lossy(1)
			e[1].node.Restart(&end{})
			e[1].node.Lossy(0)
		}, "canceled@303ms", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, e, s := joined(t, Options[int]{Seed: 1, MinDelay: ms, MaxDelay: ms, Unanswered: 5 * time.Second})
			c.do(n, e, s)
			n.RunUntil(20 * time.Second)
			here := strings.TrimPrefix(strings.TrimPrefix(e[0].saw(), "opened"), " ")
			peer := strings.TrimPrefix(strings.TrimPrefix(e[1].saw(), "accepted"), " ")
			if here != c.here || peer != c.peer {
				t.Errorf("the one that dialled: %q, want %q; the other: %q, want %q", here, c.here, peer, c.peer)
			}
			if got, want := s.Open(), c.here == "" && c.name != "closed"; got != want {
				t.Errorf("open: %v", got)
			}
		})
	}
}

func TestHowDialsEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(e []*end)
		want string
	}{
		{"accepted", func([]*end) {}, "opened"},
		{"hung", func(e []*end) { e[1].node.Suspend() }, "opened"},
		{"killed", func(e []*end) { e[1].node.Kill() }, "unavailable@2ms"},
		{"crashed", func(e []*end) { e[1].node.Crash() }, "timeout@500ms"},
		{"cut", func(e []*end) { e[0].node.Cut(e[1].node) }, "timeout@500ms"},
		{"no answer comes", func(e []*end) { e[1].node.Cut(e[0].node) }, "timeout@500ms"},
	} {
		n := New[int](Options[int]{MinDelay: ms, MaxDelay: ms})
		e := ends(n, 2)
		c.do(e)
		e[0].node.Dial(addr(1), 500*ms)
		n.RunUntil(time.Second)
		if e[0].saw() != c.want {
			t.Errorf("%s: %q, want %q", c.name, e[0].saw(), c.want)
		}
	}
	n := New[int](Options[int]{})
	e, _ := ends(n, 1), n.Add(addr(9), &box{})
	e[0].node.Dial(addr(5), 500*ms)
	e[0].node.Dial(addr(9), 500*ms)
	n.RunUntil(time.Second)
	if e[0].saw() != "unavailable@0s timeout@500ms" {
		t.Errorf("nobody's address, and a node without streams: %q", e[0].saw())
	}
}

func TestADialIsTriedAgain(t *testing.T) {
	n := New[int](Options[int]{MinDelay: ms, MaxDelay: ms})
	e := ends(n, 2)
	e[0].node.Lossy(1)
	e[0].node.Dial(addr(1), 5*time.Second)
	e[0].node.Lossy(0)
	n.RunUntil(900 * ms)
	if e[0].saw() != "" {
		t.Fatalf("%q", e[0].saw())
	}
	n.RunUntil(1100 * ms)
	if e[0].saw() != "opened" {
		t.Errorf("a second after a lost dial: %q", e[0].saw())
	}
}

func TestAHungProcessReadsItsStreamWhenItResumes(t *testing.T) {
	n, e, s := joined(t, Options[int]{Seed: 1, MinDelay: ms, MaxDelay: ms})
	e[1].node.Suspend()
	for i := range 10 {
		s.Send(i, 50)
	}
	s.Close()
	e[0].node.Dial(addr(1), time.Second)
	n.RunUntil(time.Second)
	if len(e[1].got) != 0 || e[1].saw() != "accepted" || e[0].saw() != "opened opened" {
		t.Fatalf("suspended, it got %v: %q", e[1].got, e[1].saw())
	}
	e[1].node.Resume()
	n.RunUntil(2 * time.Second)
	if len(e[1].got) != 10 || !slices.IsSorted(e[1].got) || e[1].saw() != "accepted accepted canceled@1s" {
		t.Errorf("resumed, it got %v: %q", e[1].got, e[1].saw())
	}
}

// Whatever is lost and cut, what arrives is what was sent, in order, without a
// gap; all of it once the net is whole.
func TestAStreamLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := New[int](Options[int]{
			Seed: rapid.Uint64().Draw(t, "seed"), Loss: rapid.Float64Range(0, 0.4).Draw(t, "loss"), MinDelay: ms, MaxDelay: 5 * ms,
		})
		e := ends(n, 2)
		s := e[0].node.Dial(addr(1), time.Minute)
		n.RunWhile(time.Minute, func() bool { return s.state == dialling })
		sent := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "do") {
			case 0:
				e[0].node.Cut(e[1].node)
			case 1:
				e[1].node.Cut(e[0].node)
			case 2:
				n.Heal()
			case 3:
				e[1].node.Suspend()
			case 4:
				e[1].node.Resume()
			case 5:
				n.RunUntil(n.Now() + time.Duration(rapid.IntRange(1, 500).Draw(t, "wait"))*ms)
			default:
				s.Send(sent, rapid.IntRange(50, 5000).Draw(t, "size"))
				sent++
			}
			for i, p := range e[1].got {
				if p != i {
					t.Fatalf("got %v", e[1].got)
				}
			}
		}
		n.Heal()
		e[1].node.Resume()
		n.RunUntil(n.Now() + 10*time.Minute)
		if s.state == open && len(e[1].got) != sent {
			t.Fatalf("%d of %d arrived: %v", len(e[1].got), sent, e[1].log)
		}
	})
}

func TestStreamsHaveATraceToo(t *testing.T) {
	run := func(seed uint64) uint64 {
		n := New[int](Options[int]{Seed: seed, Loss: 0.05, MinDelay: ms, MaxDelay: 20 * ms, Tag: func(p int) uint64 { return uint64(p) }})
		for i, e := range ends(n, 20) {
			e.on = func(s *Stream[int]) { s.Send(i, 100) }
			e.node.Dial(addr((i+1)%20), time.Second)
		}
		n.RunUntil(10 * time.Second)
		return n.Trace()
	}
	if a, b := run(7), run(7); a != b {
		t.Errorf("%x and %x from one seed", a, b)
	}
	if a, b := run(7), run(8); a == b {
		t.Errorf("%x from two seeds", a)
	}
}
