package replica

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fulcrum.example/lashup/crdt"
)

func TestLargeValuesAreWrittenAsDeltas(t *testing.T) {
	w := newWorld(t, 3, 1)
	w.linkAll()
	w.startAll()
	a, b := w.nodes[0], w.nodes[1]
	own := testKey(a.id, "set")
	var elements []string
	for i := range 400 {
		elements = append(elements, fmt.Sprintf("%040d", i))
	}
	a.mustWrite(Write{Key: []string{"set"}, Op: crdt.Add(crdt.AddWinsSet, elements...)}, Write{Key: own, Op: crdt.Add(crdt.AddWinsSet, elements...)})
	w.converge(time.Minute)
	before := a.r.Stats().Persisted + b.r.Stats().Persisted
	for i := range 600 {
		a.put(crdt.Add(crdt.AddWinsSet, fmt.Sprint(i)), "set")
		a.put(crdt.Remove(crdt.AddWinsSet, elements[i%400]), own...)
		b.put(crdt.Remove(crdt.AddWinsSet, elements[i%400]), "set")
		w.run(5 * time.Millisecond)
	}
	w.converge(time.Minute)
	perWrite := (a.r.Stats().Persisted + b.r.Stats().Persisted - before) / 3600 // 1800 writes at two nodes
	t.Logf("%d bytes to disk a write, of values of some 20 kB", perWrite)
	if perWrite > 1500 {
		t.Errorf("%d bytes to disk a write", perWrite)
	}
	want := fmt.Sprint(a.dump())
	for _, n := range w.nodes {
		lines := 0
		for line := range n.disk {
			if strings.HasPrefix(line, string(lineDelta)) {
				lines++
			}
		}
		if lines == 0 {
			t.Errorf("node %d has no deltas on disk", n.index)
		}
		n.stop()
		n.start()
		if got := fmt.Sprint(n.dump()); got != want {
			t.Errorf("node %d comes back with %.200s…", n.index, got)
		}
		if s := n.r.Stats(); s.Corrupt > 0 {
			t.Errorf("%+v", s)
		}
		checkReplica(t, n.r)
	}
	a.mustWrite(Write{Key: []string{"set"}, Op: crdt.Reset()}, Write{Key: own, Op: crdt.Reset()})
	w.until(10*time.Minute, "the tombstones are gone", func() bool { return w.tombs() == 0 })
	w.run(time.Second)
	for line := range a.disk {
		if line[0] == lineDelta || line[0] == lineKey {
			t.Errorf("%q is left on disk", line)
		}
	}
}
