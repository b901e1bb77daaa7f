package sim

import (
	"net/netip"
	"slices"
	"sort"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// box is a node that notes what it gets.
type box struct {
	net  *Net[int]
	node *Node[int]
	got  []int
	at   []time.Duration
	woke []time.Duration
	on   func(now time.Duration, from netip.AddrPort, p int)
}

func (b *box) Receive(now time.Duration, from netip.AddrPort, p int) {
	b.got, b.at = append(b.got, p), append(b.at, now)
	if b.on != nil {
		b.on(now, from, p)
	}
}

func (b *box) Wake(now time.Duration) { b.woke = append(b.woke, now) }

func addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
}

func boxes(n *Net[int], count int) []*box {
	var out []*box
	for i := range count {
		b := &box{net: n}
		b.node = n.Add(addr(i), b)
		out = append(out, b)
	}
	return out
}

const ms = time.Millisecond

func TestPacketsTakeTheirTime(t *testing.T) {
	n := New[int](Options[int]{Seed: 1, MinDelay: 2 * ms, MaxDelay: 18 * ms})
	b := boxes(n, 2)
	for i := range 1000 {
		b[0].node.Send(addr(1), i, 100)
	}
	n.RunUntil(time.Second)
	if len(b[1].got) != 1000 || slices.IsSorted(b[1].got) {
		t.Fatalf("got %d packets, in order: %v; want all, some overtaking others", len(b[1].got), slices.IsSorted(b[1].got))
	}
	if first, last := b[1].at[0], b[1].at[999]; first < 2*ms || first > 3*ms || last > 18*ms || last < 17*ms {
		t.Errorf("delays from %v to %v, want 2ms to 18ms", first, last)
	}
	if c := b[0].node.Counters(); c.SentPackets != 1000 || c.SentBytes != 100_000 {
		t.Errorf("sent %+v", c)
	}
	if c := b[1].node.Counters(); c.ReceivedPackets != 1000 || c.ReceivedBytes != 100_000 {
		t.Errorf("received %+v", c)
	}
}

func TestLossIsAsAskedFor(t *testing.T) {
	n := New[int](Options[int]{Seed: 1, Loss: 0.1})
	b := boxes(n, 2)
	for i := range 10_000 {
		b[0].node.Send(addr(1), i, 1)
	}
	n.RunUntil(time.Second)
	if got := len(b[1].got); got < 8900 || got > 9100 {
		t.Errorf("%d of 10,000 arrived at 10%% loss", got)
	}
}

func TestPartitionsAndCutsKeepPacketsFromCrossing(t *testing.T) {
	n := New[int](Options[int]{Seed: 1})
	b := boxes(n, 3)
	all := func(tag int) {
		for _, x := range b {
			for _, y := range b {
				x.node.Send(y.node.Addr(), tag, 1)
			}
		}
		n.RunUntil(n.Now() + ms)
	}
	count := func(tag int) (c [3]int) {
		for i, x := range b {
			for _, p := range x.got {
				if p == tag {
					c[i]++
				}
			}
		}
		return c
	}
	b[2].node.Partition(1)
	all(1)
	if c := count(1); c != [3]int{2, 2, 1} {
		t.Errorf("partitioned: %v", c)
	}
	n.Heal()
	b[0].node.Cut(b[1].node)
	all(2)
	if c := count(2); c != [3]int{3, 2, 3} {
		t.Errorf("cut one way: %v", c)
	}
	b[0].node.Mend(b[1].node)
	all(3)
	if c := count(3); c != [3]int{3, 3, 3} {
		t.Errorf("healed: %v", c)
	}
}

func TestACrashLosesWhatWasUnderWayToItAndItsTimer(t *testing.T) {
	n := New[int](Options[int]{Seed: 1, MinDelay: 10 * ms, MaxDelay: 10 * ms})
	b := boxes(n, 2)
	b[1].node.WakeAt(5 * ms)
	b[0].node.Send(addr(1), 1, 1)
	b[1].node.Crash()
	b[1].node.Send(addr(0), 1, 1)
	n.RunUntil(20 * ms)
	if len(b[1].got)+len(b[1].woke)+len(b[0].got) != 0 {
		t.Errorf("a crashed node got %v, woke %v, and was heard: %v", b[1].got, b[1].woke, b[0].got)
	}
	again := &box{}
	b[1].node.Restart(again)
	b[0].node.Send(addr(1), 2, 1)
	n.RunUntil(40 * ms)
	if len(again.got) != 1 || len(again.woke) != 0 {
		t.Errorf("after its restart it got %v and woke %v", again.got, again.woke)
	}
}

func TestASuspendedNodeGetsEverythingInOrderWhenItResumes(t *testing.T) {
	n := New[int](Options[int]{Seed: 1, MinDelay: ms, MaxDelay: ms})
	b := boxes(n, 2)
	b[1].node.WakeAt(5 * ms)
	n.RunUntil(2 * ms)
	b[1].node.Suspend()
	for i := range 10 {
		n.At(3*ms+time.Duration(i)*ms, func() { b[0].node.Send(addr(1), i, 1) })
	}
	n.RunUntil(50 * ms)
	if len(b[1].got)+len(b[1].woke) != 0 {
		t.Fatalf("a suspended node did something: %v %v", b[1].got, b[1].woke)
	}
	b[1].node.Resume()
	n.RunUntil(60 * ms)
	if !slices.Equal(b[1].got, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) || !slices.Equal(b[1].woke, []time.Duration{50 * ms}) || b[1].at[0] != 50*ms {
		t.Errorf("resumed: got %v at %v, woke at %v", b[1].got, b[1].at, b[1].woke)
	}
}

func TestANodeHasOneTimer(t *testing.T) {
	n := New[int](Options[int]{})
	b := boxes(n, 1)[0]
	b.node.WakeAt(10 * ms)
	b.node.WakeAt(3 * ms)
	b.node.WakeAt(7 * ms)
	n.RunUntil(20 * ms)
	b.node.WakeAt(5 * ms) // has passed: now
	n.RunUntil(30 * ms)
	if want := []time.Duration{7 * ms, 20 * ms}; !slices.Equal(b.woke, want) {
		t.Errorf("woke at %v, want %v", b.woke, want)
	}
}

func chatter(seed uint64) uint64 {
	n := New[int](Options[int]{Seed: seed, Loss: 0.05, MinDelay: ms, MaxDelay: 20 * ms, Tag: func(p int) uint64 { return uint64(p) }})
	bs := boxes(n, 20)
	for i, b := range bs {
		b.on = func(_ time.Duration, _ netip.AddrPort, p int) { b.node.Send(addr((i*7+p)%20), p+1, 50) }
		b.node.Send(addr((i+1)%20), i, 50)
	}
	n.At(300*ms, bs[3].node.Crash)
	n.RunUntil(time.Second)
	return n.Trace()
}

func TestTheSameSeedGivesTheSameTrace(t *testing.T) {
	if a, b := chatter(7), chatter(7); a != b {
		t.Errorf("%x and %x from one seed", a, b)
	}
	if a, b := chatter(7), chatter(8); a == b {
		t.Errorf("%x from two seeds", a)
	}
}

// The heap gives what sorting gives.
func TestEventsComeInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type item struct {
			at   int64
			slot uint32
		}
		var q queue
		var model []item
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(model) == 0 || rapid.Bool().Draw(t, "push") {
				it := item{rapid.Int64Range(0, 20).Draw(t, "at"), uint32(q.seq)}
				q.push(it.at, it.slot)
				model = append(model, it)
				continue
			}
			sort.SliceStable(model, func(i, j int) bool { return model[i].at < model[j].at })
			e := q.pop()
			if e.at != model[0].at || e.slot != model[0].slot {
				t.Fatalf("popped %d/%d, want %d/%d", e.at, e.slot, model[0].at, model[0].slot)
			}
			model = model[1:]
		}
	})
}

// beacon sends three messages a second to its neighbours.
type beacon struct {
	node *Node[int]
	i, n int
	turn int
}

func (b *beacon) Receive(time.Duration, netip.AddrPort, int) {}

func (b *beacon) Wake(now time.Duration) {
	b.turn++
	b.node.Send(addr((b.i+b.turn*31)%b.n), b.turn, 100)
	b.node.WakeAt(now + time.Second/3)
}

// BenchmarkThousandNodes reports how many times faster than real time a network
// of 1,000 nodes runs, each of which sends three messages a second.
func BenchmarkThousandNodes(b *testing.B) {
	n := New[int](Options[int]{Seed: 1, Loss: 0.01, MinDelay: 2 * ms, MaxDelay: 18 * ms})
	for i := range 1000 {
		h := &beacon{i: i, n: 1000}
		h.node = n.Add(addr(i), h)
		h.node.WakeAt(time.Duration(i) * ms)
	}
	b.ResetTimer()
	for range b.N { // one virtual second each
		n.RunUntil(n.Now() + time.Second)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "x-real-time")
	b.ReportMetric(0, "ns/op")
}
