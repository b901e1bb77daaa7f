package replica

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// lived is a node with what was on its disk from time to time.
type lived struct {
	n     *testNode
	disks []map[string][]byte
}

// live lets three nodes live for a while, and crash, and hand over.
func live(t tester, seed uint64, steps int) *lived {
	w := newWorld(t, 3, seed)
	w.params = Params{Settle: 2 * time.Second, Grace: 5 * time.Second}
	w.loss = 0.2
	if w.rng.IntN(3) > 0 {
		w.hotSize = 20 + w.rng.IntN(80)
	}
	w.linkAll()
	w.startAll()
	l := &lived{n: w.nodes[w.rng.IntN(3)]}
	for range steps {
		n := w.nodes[w.rng.IntN(3)]
		switch w.rng.IntN(10) {
		case 0:
			n.crash()
			n.start()
		case 1:
			n.handOver()
		default:
			for range 1 + w.rng.IntN(6) {
				n.write(randomOp(w.rng, n.id))
				n.write(largeOp(w.rng, n.id))
			}
		}
		w.run(time.Duration(w.rng.IntN(2500)) * time.Millisecond)
		l.disks = append(l.disks, maps.Clone(l.n.disk))
	}
	return l
}

// largeOp is an operation on one of two sets that are kept as deltas, and are gone
// sometimes; one of them has an owner.
func largeOp(rng *rand.Rand, self crux.NodeID) Write {
	name := fmt.Sprintf("element %010d", rng.IntN(12))
	x := Write{Key: []string{"large"}, Op: crdt.Add(crdt.AddWinsSet, name)}
	if rng.IntN(2) == 0 {
		x.Key = testKey(self, "large")
	}
	switch rng.IntN(6) {
	case 0:
		x.Op = crdt.Remove(crdt.AddWinsSet, name)
	case 1:
		if rng.IntN(4) == 0 {
			x.Op = crdt.Reset()
		}
	}
	return x
}

// spoil makes disks as no owner leaves them: lines are missing, or cannot be read, or
// say something else.
func (l *lived) spoil(rng *rand.Rand) {
	for _, disk := range l.disks {
		for _, line := range slices.Sorted(maps.Keys(disk)) {
			v := disk[line]
			switch {
			case rng.IntN(25) > 0:
			case rng.IntN(3) == 0:
				delete(disk, line)
			case rng.IntN(2) == 0:
				disk[line] = v[:rng.IntN(len(v))]
			default:
				v = slices.Clone(v)
				v[rng.IntN(len(v))] ^= byte(1 << rng.IntN(8))
				disk[line] = v
			}
		}
		switch rng.IntN(6) {
		case 0:
			disk[string(lineGen)] = []byte{byte(rng.IntN(2)), 0, byte(rng.IntN(3))}
		case 1:
			for _, line := range slices.Sorted(maps.Keys(disk)) {
				if v := disk[line]; (line[0] == lineKey || line[0] == lineDelta) && rng.IntN(3) == 0 && len(v) > 0 {
					v = slices.Clone(v)
					v[0] = byte(rng.IntN(3)) // the generation
					disk[line] = v
				}
			}
		}
	}
}

// open makes a replica as a successor has it.
func (l *lived) open() *Replica {
	w := l.n.w
	cfg := w.config(l.n)
	cfg.Rand = rand.New(rand.NewPCG(1, 1))
	r, err := New(cfg, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.hotSize > 0 {
		r.hotSize = w.hotSize
	}
	return r
}

// readAhead reads in pieces what lies on the disk at various times, in the end all of
// the last. torn: each line is taken from a time of its own.
func (l *lived) readAhead(rng *rand.Rand, torn bool) *Replica {
	r := l.open()
	given := map[string][]byte{}
	for i, disk := range l.disks {
		last := i == len(l.disks)-1
		if !last && rng.IntN(3) == 0 {
			continue
		}
		var lines []string
		for _, d := range l.disks {
			for line := range d {
				lines = append(lines, line)
			}
		}
		slices.Sort(lines)
		lines = slices.Compact(lines)
		rng.Shuffle(len(lines), func(i, k int) { lines[i], lines[k] = lines[k], lines[i] })
		for _, line := range lines {
			from := disk
			if !last && torn {
				from = l.disks[rng.IntN(len(l.disks))]
			}
			v, there := from[line]
			was, had := given[line]
			switch {
			case !there && !had && rng.IntN(10) > 0, there && had && string(v) == string(was) && rng.IntN(10) > 0:
				continue // nothing new, but for lines that the owner has copied
			case !there:
				v = nil
				delete(given, line)
			case there:
				given[line] = v
			}
			_ = r.Load([]byte(line), v)
			if rng.IntN(40) == 0 {
				r.Index(l.n.w.now)
			}
		}
		if rng.IntN(2) == 0 {
			r.Index(l.n.w.now)
		}
	}
	return r
}

// inside is all that a replica that has been loaded is, line by line.
func inside(r *Replica) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for at := r.seek(""); r.keys.at(at) != nil; at = r.keys.next(at) {
		rec := *r.keys.at(at)
		say("key %q %x gen %d hash %x version %d flags %d log %v", rec.key, r.encoded(rec), rec.gen, rec.hash, rec.version, rec.flags&^recHot, r.logs[rec])
		if p := rec.proof; p != nil {
			say("  proof %v %d %x by %v of %d %x %q", p.mark, p.leaf, p.path, p.batch.cardID, p.batch.leaves, p.batch.sig, p.batch.card)
		}
	}
	for _, id := range r.durable.ids() {
		t := r.durable.nodes[id]
		say("node %v has %v %x, incarnation %d", id, slices.Collect(t.seen.All()), t.hash, r.incarnations[id])
		for at := (spot{}); t.keys.at(at) != nil; at = t.keys.next(at) {
			x := t.keys.at(at)
			if r.find(x.rec.key) != x.rec {
				say("  a record that is gone")
			}
			say("  %v %q", x.mark, x.rec.key)
		}
	}
	var tombs, cards []string
	for _, rec := range r.tombs {
		tombs = append(tombs, fmt.Sprintf("%q %v", rec.key, r.find(rec.key) == rec))
	}
	for id, k := range r.cards {
		cards = append(cards, fmt.Sprintf("%v %+v", id, *k))
	}
	slices.Sort(tombs)
	slices.Sort(cards)
	s := r.Stats()
	say("tombs %v, cards %v, %d logs, %d hot", tombs, cards, len(r.logs), len(r.hot))
	say("values %x of %x, vector %x", r.values, r.sum(), r.durable.hash())
	say("gen %d %v, settled %v, vouched %v", r.gen, r.resync, r.settle.base, r.settle.vouched)
	say("%d keys, %d tombstones, %d bytes, %d hot; seq %d, number %d, floor %d", s.Keys, s.Tombstones, s.Bytes, r.hotBytes, r.seq, r.number, r.floor)
	return out
}

// asked is what LoadDone wants written, and sent.
func asked(out Ready) (list []string) {
	for _, e := range out.Persist {
		list = append(list, fmt.Sprintf("%q %x", e.Key, e.Value))
	}
	slices.Sort(list)
	return append(list, fmt.Sprintf("%x %v", out.Casts, out.Renew))
}

// check compares a replica that has read ahead with one that reads everything at once.
func (l *lived) check(t tester, ahead *Replica) {
	t.Helper()
	now := l.n.w.now
	if got := ahead.disk.lines; len(got) > 0 || len(ahead.disk.pending) > 0 {
		t.Fatalf("%q are to be written to a disk that is another's", got)
	}
	once := l.open()
	for line, v := range l.disks[len(l.disks)-1] {
		_ = once.Load([]byte(line), v)
	}
	want, got := asked(once.LoadDone(now)), asked(ahead.LoadDone(now))
	if ahead.clock.last < once.clock.last || ahead.stats.Corrupt < once.stats.Corrupt {
		t.Errorf("clock %d, %d corrupt; want at least %d, %d", ahead.clock.last, ahead.stats.Corrupt, once.clock.last, once.stats.Corrupt)
	}
	want, got = append(want, inside(once)...), append(got, inside(ahead)...)
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Fatalf("read ahead:\n%s\nread at once:\n%s", strings.Join(got[min(i, len(got)):], "\n"), strings.Join(want[min(i, len(want)):], "\n"))
		}
	}
	checkReplica(t, ahead)
}

// TestReadingAheadIsReading: a replica that was read in pieces while its disk changed
// is the one that reads what is there in the end.
func TestReadingAheadIsReading(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := live(rt, rapid.Uint64().Draw(rt, "seed"), rapid.IntRange(1, 12).Draw(rt, "steps"))
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "reading"), 2))
		if rapid.Bool().Draw(rt, "spoilt") {
			l.spoil(rng)
		}
		l.check(rt, l.readAhead(rng, rapid.Bool().Draw(rt, "torn")))
	})
}

// TestAGenerationThatChangesBeginsAgain: which keys are doomed, and left out of all
// indexes, is not known before the last line of the generation was read.
func TestAGenerationThatChangesBeginsAgain(t *testing.T) {
	l := live(t, 1, 8)
	l.disks = append(l.disks, maps.Clone(l.n.disk))
	last := l.disks[len(l.disks)-1]
	last[string(lineGen)] = []byte{1, 0, 1}
	r := l.open()
	for line, v := range l.n.disk {
		if err := r.Load([]byte(line), v); err != nil {
			t.Fatal(err)
		}
	}
	r.Index(l.n.w.now)
	values := r.values
	for _, v := range [][]byte{{1, 0, 1}, nil, {1, 0, 1}} {
		if err := r.Load([]byte{lineGen}, v); err != nil {
			t.Fatal(err)
		}
		r.Index(l.n.w.now)
		if doomed := r.values != values; doomed != (v != nil) {
			t.Errorf("generation %v: %x is indexed, %x before", v, r.values, values)
		}
	}
	l.check(t, r)
}

// TestDeltasAreJoinedAsTheyCome, also those that make a tombstone of a key, or a key of
// a tombstone.
func TestDeltasAreJoinedAsTheyCome(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.hotSize = 1
	w.startAll()
	key, state := encodedKey(t, "large"), &crdt.State{}
	disk := map[string][]byte{}
	l := &lived{w.nodes[0], []map[string][]byte{disk}}
	r := l.open()
	for i, op := range []crdt.Op{
		crdt.Add(crdt.AddWinsSet, "a", "b"), crdt.Add(crdt.AddWinsSet, "c"), crdt.Reset(), crdt.Add(crdt.AddWinsSet, "d"),
	} {
		delta, err := state.Apply(op, crdt.Dot{Actor: crdt.Actor{Node: testID(1), Incarnation: 1}, Seq: uint64(2*i + 1)}, 0, nil, crdt.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		line := deltaLine(key, uint64(i))
		if i == 0 {
			line = string(lineKey) + key
		}
		disk[line] = delta.Append([]byte{0, 0})
		if err := r.Load([]byte(line), disk[line]); err != nil {
			t.Fatal(err)
		}
		r.Index(w.now)
		if rec := r.find(key); rec == nil || !r.state(rec).Equal(state) || rec.is(recAbsent) != state.Absent() {
			t.Fatalf("after %d lines it is %+v", i+1, rec)
		}
	}
	l.check(t, r)
}

// TestDeltasThatCannotBeUsedEndTheirKey, but only at the end: before, they may be
// replaced.
func TestDeltasThatCannotBeUsedEndTheirKey(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.hotSize = 1
	w.startAll()
	n := w.nodes[0]
	for _, key := range [][]string{{"large"}, testKey(n.id, "large")} {
		n.mustWrite(Write{Key: key, Op: crdt.Add(crdt.AddWinsSet, strings.Repeat("b", 2000))})
		n.mustWrite(Write{Key: key, Op: crdt.Add(crdt.AddWinsSet, "c")})
		n.mustWrite(Write{Key: key, Op: crdt.Add(crdt.AddWinsSet, "ddd")})
		line := deltaLine(encodedKey(t, key...), 1)
		good := n.disk[line]
		if good == nil {
			t.Fatalf("%q has no deltas on disk", key)
		}
		other := []byte(strings.Replace(string(good), "ddd", "dxd", 1))
		for _, bad := range [][]byte{good[:len(good)-1], other} {
			for _, mended := range []bool{false, true} {
				l := &lived{n, []map[string][]byte{maps.Clone(n.disk)}}
				r := l.open()
				for k, v := range n.disk {
					if k != line {
						_ = r.Load([]byte(k), v)
					}
				}
				r.Index(w.now)
				_ = r.Load([]byte(line), bad)
				r.Index(w.now)
				if mended {
					_ = r.Load([]byte(line), good)
				} else {
					l.disks[0][line] = bad
				}
				l.check(t, r)
			}
		}
	}
}

// TestCardsMayComeAfterTheirKeys, and go before another key comes that needs them.
func TestCardsMayComeAfterTheirKeys(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.linkAll()
	w.startAll()
	a, b := w.nodes[0], w.nodes[1]
	a.mustWrite(Write{Key: testKey(a.id, "x"), Op: assign("1")})
	a.mustWrite(Write{Key: testKey(a.id, "y"), Op: assign("1")})
	w.converge(time.Minute)
	a.inc += 2 // nobody but the disk of b has the card that the keys need
	disk := maps.Clone(b.disk)
	var x, y, card string
	for line := range disk {
		switch {
		case line[0] == lineCard:
			card = line
		case strings.HasSuffix(line, "x\x00"):
			x = line
		case strings.HasSuffix(line, "y\x00"):
			y = line
		}
	}
	for _, c := range []struct {
		name  string
		steps []string // the lines that change; "" lets the indexes be made
	}{
		{"late", []string{x, "", y, "", card}},
		{"very late", []string{x, y, "", "", card, ""}},
		{"gone meanwhile", []string{card, x, "", "-" + card, "-" + x, "", y, "", x, "", card}},
		{"gone first", []string{card, x, "", "-" + card, "", "-" + x, y, ""}},
		{"gone for good", []string{card, x, y, "", "-" + card}},
		{"not needed any more", []string{card, x, "", "-" + x, ""}},
	} {
		l := &lived{n: b}
		r, end := l.open(), maps.Clone(disk)
		maps.DeleteFunc(end, func(line string, _ []byte) bool { return line == x || line == y || line == card })
		for line, v := range end {
			c.steps = append(c.steps, line)
			end[line] = v
		}
		for _, line := range c.steps {
			line, gone := strings.CutPrefix(line, "-")
			v := disk[line]
			switch {
			case line == "":
				r.Index(w.now)
				continue
			case gone:
				v = nil
				delete(end, line)
			default:
				end[line] = v
			}
			if err := r.Load([]byte(line), v); err != nil {
				t.Fatal(err)
			}
		}
		t.Run(c.name, func(t *testing.T) {
			l.disks = append(l.disks, end)
			l.check(t, r)
		})
	}
}

// BenchmarkLoadDone is what is left to do when a replica of so many keys has read
// ahead, and 100 of them have changed since.
func BenchmarkLoadDone(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint("keys=", n), func(b *testing.B) {
			if n > 100_000 && testing.Short() {
				b.Skip("large")
			}
			disk := map[string][]byte{}
			a := newBare(b, 0, disk)
			a.carry(a.LoadDone(0))
			a.carry(a.Members(0, []Member{{a.self, Stable}})) // or what it writes goes over with the rest
			a.fill(b, n)
			before := maps.Clone(disk)
			a.fill(b, 100)
			state, err := a.Export(a.now)
			if err != nil {
				b.Fatal(err)
			}
			a = nil
			for b.Loop() {
				b.StopTimer()
				next := newBare(b, 0, nil)
				for k, v := range before {
					if err := next.Load([]byte(k), v); err != nil {
						b.Fatal(err)
					}
				}
				began := time.Now()
				next.Index(0)
				b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-ahead")
				b.StartTimer()
				for i := range 100 {
					key, _ := EncodeKey(benchKey(i))
					if err := next.Load([]byte(string(lineKey)+key), disk[string(lineKey)+key]); err != nil {
						b.Fatal(err)
					}
				}
				next.carry(next.LoadDone(0))
				b.StopTimer()
				began = time.Now()
				if _, err := next.Import(0, state); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "ms-import")
				b.StartTimer()
			}
		})
	}
}
