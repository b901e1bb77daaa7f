package replica

import (
	"bytes"
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/crdt"
)

// tester is what tests, fuzz targets and properties have in common.
type tester interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// world is a small net of replicas in virtual time: casts are lost and overtake one
// another, links keep their order, disks sync late, nodes crash and lose what was
// not synced.
type world struct {
	t     tester
	rng   *rand.Rand
	now   time.Duration
	queue events
	order uint64
	nodes []*testNode
	loss  float64                // of casts
	part  map[int]int            // parts of the net by node
	truth map[string]*crdt.State // of shared keys: all deltas that were ever cast
	// What went over the wire, in bytes.
	castBytes, linkBytes uint64
	params               Params
	limits               Limits
	hotSize              int                             // of all replicas, if not 0
	tap                  func(from *testNode, m Message) // sees what goes over links
	standing             map[crux.NodeID]Standing
}

type testNode struct {
	w        *world
	index    int
	id       crux.NodeID
	inc      uint64
	first    bool
	r        *Replica
	disk     map[string][]byte
	unsynced []batchLines
	life     int
	links    map[int]time.Duration // to nodes, when the last message arrives
	acks     map[uint64]Ack
	token    uint64
	events   map[WatchID][]Event
	diskErr  error
	renew    bool
	repaired [][]string
	wakeAt   time.Duration
	stalled  bool // the disk does not sync
	slow     bool // its watches are not read by themselves
}

type batchLines struct {
	batch uint64
	lines []Entry
}

type event struct {
	at   time.Duration
	n    uint64
	call func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].n < q[j].n
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

func newWorld(t tester, n int, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), part: map[int]int{}, truth: map[string]*crdt.State{},
		standing: map[crux.NodeID]Standing{},
		params:   Params{Settle: time.Minute, Grace: time.Minute},
	}
	for range n {
		w.add()
	}
	return w
}

func testID(i int) (id crux.NodeID) {
	h := sha256.Sum256([]byte(fmt.Sprint("node ", i)))
	copy(id[:], h[:])
	return id
}

func (w *world) add() *testNode {
	i := len(w.nodes)
	n := &testNode{w: w, index: i, id: testID(i), first: true, disk: map[string][]byte{}, links: map[int]time.Duration{}}
	w.nodes = append(w.nodes, n)
	w.standing[n.id] = Stable
	return n
}

func testSig(node crux.NodeID, inc uint64, root []byte) []byte {
	b := binary.BigEndian.AppendUint64(slices.Clone(node[:]), inc)
	a := sha256.Sum256(append(b, root...))
	c := sha256.Sum256(a[:])
	return append(a[:], c[:]...)
}

func testCard(node crux.NodeID, inc uint64) []byte {
	return fmt.Appendf(nil, "card of %v %d", node, inc)
}

func testVerify(node crux.NodeID, inc uint64, card, root, sig []byte) bool {
	return bytes.Equal(card, testCard(node, inc)) && bytes.Equal(sig, testSig(node, inc, root))
}

func (w *world) config(n *testNode) Config {
	return Config{
		Self: n.id, Bloc: "bloc", Incarnation: n.inc, First: n.first, Wall: testWall(w.now),
		Rand:   rand.New(rand.NewPCG(w.rng.Uint64(), n.inc)),
		Limits: w.limits, Params: w.params,
		Sign:   func(root []byte) []byte { return testSig(n.id, n.inc, root) },
		Verify: testVerify,
		Card:   w.card,
	}
}

// card is what a node's driver knows: the newest card of each node.
func (w *world) card(id crux.NodeID, inc uint64) []byte {
	for _, n := range w.nodes {
		if n.id == id && n.inc == inc {
			return testCard(id, inc)
		}
	}
	return nil
}

func testWall(now time.Duration) time.Time { return time.Unix(1_700_000_000, 0).Add(now) }

// start opens a node from its disk, in a new incarnation.
func (n *testNode) start() {
	n.inc++
	n.open()
	n.first = false
}

func (n *testNode) open() *Replica {
	w := n.w
	r, err := New(w.config(n), w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.hotSize > 0 {
		r.hotSize = w.hotSize
	}
	n.life++
	n.r, n.acks, n.events, n.unsynced, n.renew = r, map[uint64]Ack{}, map[WatchID][]Event{}, nil, false
	n.wakeAt = never
	keys := slices.Collect(maps.Keys(n.disk))
	slices.Sort(keys)
	w.rng.Shuffle(len(keys), func(i, k int) { keys[i], keys[k] = keys[k], keys[i] })
	for _, k := range keys {
		if err := r.Load([]byte(k), n.disk[k]); err != nil {
			w.t.Logf("node %d: %v", n.index, err)
		}
	}
	n.do(func(r *Replica) Ready { return r.LoadDone(w.now) })
	n.do(func(r *Replica) Ready { return r.Members(w.now, w.members()) })
	n.relink()
	for i := range n.links {
		if w.nodes[i].r != nil {
			w.nodes[i].relink()
		}
	}
	return r
}

func (w *world) members() (list []Member) {
	for _, n := range w.nodes {
		if s := w.standing[n.id]; s != 0 {
			list = append(list, Member{n.id, s})
		}
	}
	return list
}

func (w *world) tellMembers() {
	for _, n := range w.nodes {
		if n.r != nil {
			n.do(func(r *Replica) Ready { return r.Members(w.now, w.members()) })
		}
	}
}

// crash ends a node; of what was not synced, some batches may be on disk.
func (n *testNode) crash() {
	for _, b := range n.unsynced {
		if n.w.rng.IntN(2) == 0 {
			break
		}
		n.apply(b.lines)
	}
	n.stop()
}

func (n *testNode) stop() {
	n.r, n.unsynced = nil, nil
	n.life++
	for i := range n.links {
		if n.w.nodes[i].r != nil {
			n.w.nodes[i].relink()
		}
	}
}

func (n *testNode) apply(lines []Entry) {
	for _, e := range lines {
		if e.Value == nil {
			delete(n.disk, string(e.Key))
		} else {
			n.disk[string(e.Key)] = e.Value
		}
	}
}

// link joins two nodes.
func (w *world) link(i, k int) {
	w.nodes[i].links[k], w.nodes[k].links[i] = 0, 0
}

// linkAll makes a ring with some chords and starts everybody.
func (w *world) linkAll() {
	for i := range w.nodes {
		w.link(i, (i+1)%len(w.nodes))
		if k := w.rng.IntN(len(w.nodes)); k != i {
			w.link(i, k)
		}
	}
	delete(w.nodes[0].links, 0)
}

func (w *world) startAll() {
	for _, n := range w.nodes {
		n.start()
	}
}

func (w *world) connected(a, b *testNode) bool { return w.part[a.index] == w.part[b.index] }

// relink tells a node who its neighbours are.
func (n *testNode) relink() {
	var list []crux.NodeID
	for _, i := range slices.Sorted(maps.Keys(n.links)) {
		if o := n.w.nodes[i]; o.r != nil && n.w.connected(n, o) {
			list = append(list, o.id)
		}
	}
	n.do(func(r *Replica) Ready { return r.Neighbours(n.w.now, list) })
}

// split divides the net: each group is a part, and who is in none is in part 0.
func (w *world) split(groups ...[]int) {
	clear(w.part)
	for g, list := range groups {
		for _, i := range list {
			w.part[i] = g + 1
		}
	}
	for _, n := range w.nodes {
		if n.r != nil {
			n.relink()
		}
	}
}

func (w *world) at(t time.Duration, f func()) {
	w.order++
	heap.Push(&w.queue, event{t, w.order, f})
}

// do calls a replica and carries out what it asks for.
func (n *testNode) do(f func(*Replica) Ready) {
	if n.r == nil {
		return
	}
	n.carry(f(n.r))
	n.wake()
}

func (n *testNode) wake() {
	t := n.r.NextTick()
	if t >= n.wakeAt || t == never {
		return
	}
	n.wakeAt = t
	life := n.life
	n.w.at(max(t, n.w.now), func() {
		if n.life == life && n.wakeAt == t {
			n.wakeAt = never
			n.do(func(r *Replica) Ready { return r.Tick(n.w.now) })
		}
	})
}

func (n *testNode) carry(out Ready) {
	for _, s := range out.Sends {
		n.sendLink(s)
	}
	for _, b := range out.Casts {
		n.castOut(b)
	}
	if out.Batch > 0 {
		n.unsynced = append(n.unsynced, batchLines{out.Batch, out.Persist})
		n.syncSoon()
	}
	for _, a := range out.Acks {
		n.acks[a.Token] = a
	}
	for _, id := range out.Watches {
		if !n.slow {
			n.drain(id)
		}
	}
	n.renew = n.renew || out.Renew
	n.repaired = append(n.repaired, out.Repaired...)
}

func (n *testNode) drain(id WatchID) {
	for more := true; more; {
		var list []Event
		list, more = n.r.Next(id, 3)
		n.events[id] = append(n.events[id], list...)
	}
}

func (n *testNode) syncSoon() {
	if n.stalled {
		return
	}
	life := n.life
	n.w.at(n.w.now+n.w.delay(3*time.Millisecond), func() {
		if n.life == life && len(n.unsynced) > 0 && !n.stalled {
			n.sync()
		}
	})
}

func (n *testNode) sync() {
	last := uint64(0)
	for _, b := range n.unsynced {
		if n.diskErr == nil {
			n.apply(b.lines)
		}
		last = b.batch
	}
	n.unsynced = nil
	err := n.diskErr
	n.do(func(r *Replica) Ready { return r.Persisted(n.w.now, last, err) })
}

func (w *world) delay(most time.Duration) time.Duration {
	return most/10 + time.Duration(w.rng.Int64N(int64(most)))
}

func (n *testNode) sendLink(s Send) {
	w := n.w
	o := w.byID(s.To)
	b := s.Msg.Append(nil)
	if len(b) != s.Msg.Size() {
		w.t.Fatalf("%T has %d bytes, and says %d", s.Msg, len(b), s.Msg.Size())
	}
	w.linkBytes += uint64(len(b))
	if w.tap != nil {
		w.tap(n, s.Msg)
	}
	n.links[o.index] = max(n.links[o.index], w.now+w.delay(time.Millisecond)) + 1
	life, theirs := n.life, o.life
	w.at(n.links[o.index], func() {
		if n.life != life || o.life != theirs || !w.connected(n, o) {
			return
		}
		m, err := Decode(b)
		if err != nil {
			w.t.Fatalf("%T: %v", s.Msg, err)
		}
		o.do(func(r *Replica) Ready { return r.Receive(w.now, n.id, m) })
	})
}

func (w *world) byID(id crux.NodeID) *testNode {
	for _, n := range w.nodes {
		if n.id == id {
			return n
		}
	}
	w.t.Fatalf("no node %v", id)
	return nil
}

func (n *testNode) castOut(b []byte) {
	w := n.w
	w.castBytes += uint64(len(b))
	m, err := Decode(b)
	if err != nil {
		w.t.Fatal(err)
	}
	if !bytes.Equal(m.Append(nil), b) {
		w.t.Fatalf("%T is not encoded as it was", m)
	}
	if u, ok := m.(*Update); ok && !u.Volatile {
		w.witness(u)
	}
	for _, o := range w.nodes {
		if o == n || !w.connected(n, o) || w.rng.Float64() < w.loss {
			continue
		}
		most := 2 * time.Millisecond
		if w.rng.IntN(10) == 0 {
			most = 500 * time.Millisecond // it was lost on a link, and repaired
		}
		life := o.life
		w.at(w.now+w.delay(most), func() {
			if o.life == life && o.r != nil && w.connected(n, o) {
				o.do(func(r *Replica) Ready { return r.Delivered(w.now, n.id, b) })
			}
		})
	}
}

// witness joins what is cast into the truth.
func (w *world) witness(u *Update) {
	for i := range u.Items {
		v := &u.Items[i]
		d, err := crdt.Decode(v.State)
		if err != nil {
			w.t.Fatal(err)
		}
		if v.Batch > 0 {
			continue
		}
		if w.truth[v.Key] == nil {
			w.truth[v.Key] = &crdt.State{}
		}
		w.truth[v.Key].Join(d)
	}
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	end := w.now + d
	for len(w.queue) > 0 && w.queue[0].at <= end {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.call()
	}
	w.now = end
}

// until lets time pass until cond holds, for at most d.
func (w *world) until(d time.Duration, what string, cond func() bool) {
	w.t.Helper()
	for end := w.now + d; !cond(); {
		if w.now >= end {
			w.t.Fatalf("after %v still not: %s\n%s", d, what, w.describe())
		}
		w.run(100 * time.Millisecond)
	}
}

func (w *world) describe() string {
	var b strings.Builder
	for _, n := range w.nodes {
		if n.r == nil {
			fmt.Fprintf(&b, "%d: down\n", n.index)
			continue
		}
		v, vec := n.r.Hash()
		fmt.Fprintf(&b, "%d: %x %x inc %d seq %d base %d round %d %+v\n", n.index, v, vec, n.inc, n.r.seq, n.r.settle.base.ID.Number, n.r.settle.latest().Number, n.r.Stats())
	}
	return b.String()
}

// write writes and returns the token.
func (n *testNode) write(list ...Write) uint64 {
	n.token++
	token := n.token
	n.do(func(r *Replica) Ready { return r.Write(n.w.now, testWall(n.w.now), Request{token, list}) })
	return token
}

func (n *testNode) put(op crdt.Op, key ...string) uint64 { return n.write(Write{Key: key, Op: op}) }

// mustWrite writes and waits for the acknowledgement.
func (n *testNode) mustWrite(list ...Write) Ack {
	n.w.t.Helper()
	a := n.result(n.write(list...))
	if a.Err != nil {
		n.w.t.Fatal(a.Err)
	}
	return a
}

func (n *testNode) result(token uint64) Ack {
	n.w.t.Helper()
	n.w.until(time.Minute, "the write is acknowledged", func() bool { _, ok := n.acks[token]; return ok })
	return n.acks[token]
}

func (n *testNode) value(key ...string) any {
	n.w.t.Helper()
	x, err := n.r.Get(key)
	if err != nil {
		n.w.t.Fatal(err)
	}
	return x.Value.Plain()
}

// equal says whether all that are up hold and have received the same.
func (w *world) equal() bool {
	var first *testNode
	for _, n := range w.nodes {
		if n.r == nil {
			continue
		}
		if len(n.unsynced) > 0 || n.r.resync {
			return false
		}
		if first == nil {
			first = n
			continue
		}
		v1, r1 := first.r.Hash()
		if v2, r2 := n.r.Hash(); v1 != v2 || r1 != r2 {
			return false
		}
	}
	return true
}

func (w *world) converge(d time.Duration) {
	w.t.Helper()
	w.until(d, "all are equal", w.equal)
	w.checkValues()
	w.checkInside()
}

// checkValues compares values, not their hashes.
func (w *world) checkValues() {
	w.t.Helper()
	var first map[string]string
	for _, n := range w.nodes {
		if n.r == nil {
			continue
		}
		all := n.dump()
		if first == nil {
			first = all
		} else if !maps.Equal(first, all) {
			for k, v := range first {
				if all[k] != v {
					w.t.Errorf("node %d: %q = %s, others have %s", n.index, k, all[k], v)
				}
			}
			for k, v := range all {
				if _, ok := first[k]; !ok {
					w.t.Errorf("node %d: %q = %s, others have nothing", n.index, k, v)
				}
			}
			w.t.Fatal("values differ")
		}
	}
}

func (n *testNode) dump() map[string]string {
	p, err := NewPattern([]string{"**"}, false)
	if err != nil {
		n.w.t.Fatal(err)
	}
	out := map[string]string{}
	var after []string
	for {
		items, more, err := n.r.Scan(p, after, 7)
		if err != nil {
			n.w.t.Fatal(err)
		}
		for _, x := range items {
			after = x.Key
			if len(x.Key) > 2 && x.Key[0] == ownedElement && x.Key[2] == volatileElement {
				continue
			}
			out[strings.Join(x.Key, "/")] = fmt.Sprint(x.Value.Plain())
		}
		if !more {
			return out
		}
	}
}

// checkTruth compares with everything that was ever cast.
func (w *world) checkTruth() {
	w.t.Helper()
	for _, n := range w.nodes {
		if n.r == nil {
			continue
		}
		for key, s := range w.truth {
			k, _ := DecodeKey(key)
			if got, want := fmt.Sprint(n.value(k...)), fmt.Sprint(s.Read()); got != want {
				w.t.Fatalf("node %d: %q is %s, all operations make %s", n.index, k, got, want)
			}
		}
	}
}

// checkInside asserts what must hold inside replicas at any time.
func (w *world) checkInside() {
	w.t.Helper()
	for _, n := range w.nodes {
		if n.r != nil {
			checkReplica(w.t, n.r)
		}
	}
}

func checkReplica(t tester, r *Replica) {
	t.Helper()
	marks, records, last := 0, 0, ""
	for at := r.seek(""); ; at = r.keys.next(at) {
		p := r.keys.at(at)
		if p == nil {
			break
		}
		rec := *p
		records++
		if rec.key <= last {
			t.Fatalf("%q comes after %q", rec.key, last)
		}
		last = rec.key
		s := r.state(rec)
		if rec.is(recAbsent) != s.Absent() {
			t.Fatalf("%q is absent: %v, and marked %v", rec.key, s.Absent(), rec.is(recAbsent))
		}
		if r.doomed(rec) {
			continue
		}
		ctx := s.Context()
		for span := range ctx.All() {
			marks++
			id, top := span.Node, span.Hi
			tr := r.plane(rec.is(recVolatile)).nodes[id]
			if tr == nil {
				t.Fatalf("%q: node %v is not in the index", rec.key, id)
			}
			x := tr.keys.at(tr.keys.seek(func(x *lastMark) bool { return x.before(top, rec.key) }))
			if x == nil || x.rec != rec || x.mark != top {
				t.Fatalf("%q: mark %v of %v is not in the index", rec.key, top, id)
			}
		}
		if p, _ := placeOf(rec.key); !p.owner.IsZero() && (rec.proof == nil || !r.proves(rec)) {
			t.Fatalf("%q has no proof", rec.key)
		}
	}
	for _, v := range []*vector{r.durable, r.volatile} {
		for _, tr := range v.nodes {
			marks -= tr.keys.n
		}
	}
	if marks != 0 {
		t.Fatalf("the index has %d marks too many", -marks)
	}
	listed := 0
	for rec := r.newest; rec != nil; rec = rec.older {
		listed++
		if rec.older != nil && rec.older.version > rec.version {
			t.Fatal("versions out of order")
		}
	}
	if listed != records {
		t.Fatalf("%d records, %d by version", records, listed)
	}
}

// randomOp is an operation on one of a few keys.
func randomOp(rng *rand.Rand, self crux.NodeID) Write {
	i := rng.IntN(6)
	name := func() string { return string(rune('a' + rng.IntN(6))) }
	var op crdt.Op
	key := []string{"shared", fmt.Sprint(i)}
	switch i {
	case 0:
		op = crdt.Incr(int64(rng.IntN(9) - 2))
	case 1:
		op = crdt.Add(crdt.AddWinsSet, name())
		if rng.IntN(3) == 0 {
			op = crdt.Remove(crdt.AddWinsSet, name())
		}
	case 2:
		op = crdt.Assign(crdt.LastWriter, name())
	case 3:
		op = crdt.Update(crdt.Field(name(), crdt.Incr(1)), crdt.Field("s", crdt.Add(crdt.RemoveWinsSet, name())))
		if rng.IntN(3) == 0 {
			op = crdt.Update(crdt.RemoveField(crdt.Counter, name()))
		}
	case 4:
		op = crdt.Add(crdt.RemoveWinsSet, name())
		if rng.IntN(3) == 0 {
			op = crdt.Remove(crdt.RemoveWinsSet, name())
		}
	case 5:
		key = []string{ownedElement, self.String(), "own", name()}
		op = crdt.Incr(1)
	}
	if rng.IntN(12) == 0 {
		op = crdt.Reset()
	}
	if i < 5 && rng.IntN(4) == 0 {
		key = append(key, name())
	}
	return Write{Key: key, Op: op}
}
