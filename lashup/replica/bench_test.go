package replica

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

var manyKeys = flag.Int("keys", 0, "how many keys the tests of large replicas have")

// bare is a replica whose disk is a map, or nothing.
type bare struct {
	*Replica
	disk map[string][]byte
	now  time.Duration
}

func newBare(tb testing.TB, i int, disk map[string][]byte) *bare {
	id := testID(i)
	r, err := New(Config{
		Self: id, Bloc: "bloc", Incarnation: 1, Wall: testWall(0), Rand: rand.New(rand.NewPCG(1, uint64(i))),
		Limits: Limits{CastRate: 1 << 30},
		Sign:   func(root []byte) []byte { return testSig(id, 1, root) },
		Verify: testVerify,
		Card:   func(id crux.NodeID, inc uint64) []byte { return testCard(id, inc) },
	}, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return &bare{Replica: r, disk: disk}
}

// carry saves what is to be saved.
func (b *bare) carry(out Ready) Ready {
	if out.Batch > 0 {
		for _, e := range out.Persist {
			if b.disk != nil && e.Value != nil {
				b.disk[string(e.Key)] = e.Value
			}
		}
		b.Persisted(b.now, out.Batch, nil)
	}
	return out
}

// exchange lets two replicas compare until they have nothing more to say, and
// counts the bytes.
func exchange(tb testing.TB, a, b *bare) (bytes, messages int) {
	tb.Helper()
	type letter struct {
		to *bare
		m  Message
		by crux.NodeID
	}
	var mail []letter
	post := func(from, to *bare, out Ready) {
		from.carry(out)
		for _, s := range out.Sends {
			mail = append(mail, letter{to, s.Msg, from.self})
		}
	}
	post(a, b, a.Neighbours(a.now, nil))
	post(b, a, b.Neighbours(b.now, nil))
	post(a, b, a.Neighbours(a.now, []crux.NodeID{b.self}))
	post(b, a, b.Neighbours(b.now, []crux.NodeID{a.self}))
	for len(mail) > 0 {
		l := mail[0]
		mail = mail[1:]
		bytes += l.m.Size()
		messages++
		from := a
		if l.to == a {
			from = b
		}
		post(l.to, from, l.to.Receive(l.to.now, l.by, l.m))
	}
	return bytes, messages
}

func benchKey(i int) []string {
	return []string{"service", fmt.Sprint(i % 100), fmt.Sprintf("%07d", i)}
}

// fill writes n counters in batches, and casts them to the others.
func (b *bare) fill(tb testing.TB, n int, others ...*bare) {
	for i := 0; i < n; i += 100 {
		reqs := make([]Request, 100)
		for k := range reqs {
			reqs[k] = Request{uint64(i + k), []Write{{Key: benchKey(i + k), Op: crdt.Incr(1)}}}
		}
		b.now += 10 * time.Millisecond
		out := b.carry(b.Write(b.now, testWall(b.now), reqs...))
		for _, p := range out.Casts {
			for _, o := range others {
				o.now = b.now
				o.carry(o.Delivered(o.now, b.self, p))
			}
		}
		for _, a := range out.Acks {
			if a.Err != nil {
				tb.Fatal(a.Err)
			}
		}
	}
}

func TestComparingCostsWhatTheDifferenceIs(t *testing.T) {
	n := 50_000
	switch {
	case *manyKeys > 0:
		n = *manyKeys
	case testing.Short():
		n = 5000
	}
	a, b := newBare(t, 0, nil), newBare(t, 1, nil)
	a.carry(a.LoadDone(0))
	b.carry(b.LoadDone(0))
	a.fill(t, n, b)
	if got, _ := exchange(t, a, b); got > 100 {
		t.Errorf("%d bytes when nothing differs", got)
	}
	for i := range 10 {
		a.now += time.Second
		a.carry(a.Write(a.now, testWall(a.now), Request{1, []Write{{Key: benchKey(i * n / 10), Op: crdt.Incr(1)}}}))
	}
	b.now = a.now + time.Minute
	got, messages := exchange(t, a, b)
	t.Logf("%d keys, 10 different: %d bytes in %d messages", n, got, messages)
	if got > 64<<10 {
		t.Errorf("%d bytes for 10 keys of %d", got, n)
	}
	if v1, r1 := a.Hash(); true {
		if v2, r2 := b.Hash(); v1 != v2 || r1 != r2 {
			t.Error("they differ still")
		}
	}
}

func TestLargeReplicaIsSmallAndStartsSoon(t *testing.T) {
	n := *manyKeys
	if n == 0 {
		t.Skip("no -keys")
	}
	disk := map[string][]byte{}
	a := newBare(t, 0, disk)
	a.carry(a.LoadDone(0))
	began := time.Now()
	a.fill(t, n)
	t.Logf("%d writes: %.0f/s", n, float64(n)/time.Since(began).Seconds())
	wire := a.Stats().CastBytes
	t.Logf("cast %.1f bytes a write, written to disk %.1f", float64(wire)/float64(n), float64(a.Stats().Persisted)/float64(n))
	a = nil
	lines := make([]Entry, 0, len(disk))
	for k, v := range disk {
		lines = append(lines, Entry{[]byte(k), v})
	}
	clear(disk)
	b := newBare(t, 0, nil)
	b.cfg.Incarnation, b.actor.Incarnation = 2, 2
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began = time.Now()
	for _, e := range lines {
		if err := b.Load(e.Key, e.Value); err != nil {
			t.Fatal(err)
		}
	}
	loaded := time.Since(began)
	b.carry(b.LoadDone(0))
	t.Logf("loaded in %v, ready in %v", loaded, time.Since(began))
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d bytes a key", (after.HeapAlloc-before.HeapAlloc)/uint64(n))
	began = time.Now()
	b.sum()
	t.Logf("hash in %v", time.Since(began))
	c := newBare(t, 1, nil)
	c.carry(c.LoadDone(0))
	began = time.Now()
	bytes, messages := exchange(t, b, c)
	t.Logf("a new node: %d bytes in %d messages, %v for both", bytes, messages, time.Since(began))
	if v1, _ := b.Hash(); true {
		if v2, _ := c.Hash(); v1 != v2 {
			t.Error("they differ")
		}
	}
	runtime.KeepAlive(lines)
}

// BenchmarkWrite is one counter's increment in batches of 100, on 10,000 keys, with
// everything but the disk and the network.
func BenchmarkWrite(b *testing.B) {
	a := newBare(b, 0, nil)
	a.carry(a.LoadDone(0))
	a.fill(b, 10_000)
	start := a.Stats()
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for b.Loop() {
		reqs := make([]Request, 100)
		for k := range reqs {
			n++
			reqs[k] = Request{uint64(n), []Write{{Key: benchKey(n % 10_000), Op: crdt.Incr(1)}}}
		}
		a.now += 10 * time.Millisecond
		a.carry(a.Write(a.now, testWall(a.now), reqs...))
	}
	s := a.Stats()
	b.ReportMetric(float64(b.N*100)/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(float64(s.CastBytes-start.CastBytes)/float64(n), "castB/write")
	b.ReportMetric(float64(s.Persisted-start.Persisted)/float64(n), "diskB/write")
}

// BenchmarkDelivered is the receiving side of BenchmarkWrite.
func BenchmarkDelivered(b *testing.B) {
	from, to := newBare(b, 0, nil), newBare(b, 1, nil)
	from.carry(from.LoadDone(0))
	to.carry(to.LoadDone(0))
	from.fill(b, 10_000, to)
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for b.Loop() {
		b.StopTimer()
		reqs := make([]Request, 100)
		for k := range reqs {
			n++
			reqs[k] = Request{uint64(n), []Write{{Key: benchKey(n % 10_000), Op: crdt.Incr(1)}}}
		}
		from.now += 10 * time.Millisecond
		casts := from.carry(from.Write(from.now, testWall(from.now), reqs...)).Casts
		b.StartTimer()
		for _, p := range casts {
			to.carry(to.Delivered(from.now, from.self, p))
		}
	}
	b.ReportMetric(float64(b.N*100)/b.Elapsed().Seconds(), "updates/s")
}
