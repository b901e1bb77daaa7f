package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/crdt"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/replica"
)

const (
	// kvTopic is the multicast topic of the store.
	kvTopic = "lashup/kv"
	// syncTime is how long the disk takes for a batch.
	syncTime = 2 * time.Millisecond
	// cardBytes is about the size of a card.
	cardBytes = 280
)

// store is a node's replica and its disk.
type store struct {
	r     *replica.Replica
	disk  map[string][]byte
	order []string // keys of disk, in the order in which they came
	watch replica.WatchID
	due   time.Duration // when the replica wants to be called
}

// StartStores starts the replicas of all nodes that have none.
func (w *World) StartStores() {
	w.set.Replicas = true
	for _, nd := range w.Nodes {
		if nd.F != nil && nd.store.r == nil {
			nd.bootStore(w.Net.Now())
			nd.stored(nd.store.r.Neighbours(w.Net.Now(), nd.F.Neighbours()))
			nd.wakeLater()
		}
	}
}

// bootStore makes the replica of a new process, from what its disk holds.
func (nd *Node) bootStore(now time.Duration) {
	w := nd.World
	if !w.set.Replicas {
		return
	}
	r, err := replica.New(replica.Config{
		Self: nd.ID, Bloc: "sim", Incarnation: nd.Epoch, Wall: time.Unix(1e9, 0).Add(now),
		Rand:   rand.New(rand.NewPCG(w.set.Seed, 1<<32|uint64(nd.Index))),
		Sign:   func([]byte) []byte { return make([]byte, 64) },
		Verify: func(crux.NodeID, uint64, []byte, []byte, []byte) bool { return true },
		Card:   func(crux.NodeID, uint64) []byte { return make([]byte, cardBytes) },
	}, now)
	if err != nil {
		w.fail("make the replica of %s: %v", nd.ID, err)
		return
	}
	nd.store.r = r
	for _, k := range nd.store.order {
		if v := nd.store.disk[k]; v != nil {
			if err := r.Load([]byte(k), v); err != nil {
				w.fail("load the replica of %s: %v", nd.ID, err)
			}
		}
	}
	nd.stored(r.LoadDone(now))
	nd.stored(r.Members(now, w.standing))
	nd.store.watch, err = r.Watch(replica.Pattern{}, replica.Version{})
	if err != nil {
		w.fail("watch the replica of %s: %v", nd.ID, err)
	}
	nd.store.r.Next(nd.store.watch, 1<<20) // what it has from its disk is nothing new
}

// stored carries out what the replica asks.
func (nd *Node) stored(r replica.Ready) {
	w, now := nd.World, nd.World.Net.Now()
	if r.Batch != 0 {
		nd.persist(&r)
	}
	for _, a := range r.Acks {
		if a.Err != nil {
			w.fail("%s could not write: %v", nd.ID, a.Err)
		}
	}
	if len(r.Watches) > 0 {
		nd.changed()
	}
	nd.store.due = nd.store.r.NextTick()
	// What follows calls the replica again.
	for _, s := range slices.Clone(r.Sends) {
		nd.apply(nd.F.SendTo(now, s.To, s.Msg))
	}
	for _, c := range r.Casts {
		_, ready, err := nd.F.Publish(now, cast.Request{Topic: kvTopic, Payload: c})
		if err != nil {
			w.fail("%s could not multicast: %v", nd.ID, err)
		}
		nd.apply(ready)
	}
}

// persist writes a batch to the disk, which takes its time; a crash before that
// loses it.
func (nd *Node) persist(r *replica.Ready) {
	entries, batch, was := r.Persist, r.Batch, nd.store.r
	w := nd.World
	var done func()
	done = func() {
		switch {
		case nd.store.r != was || nd.F == nil:
		case !nd.Place.Up(): // it hangs
			w.Net.At(w.Net.Now()+syncTime, done)
		default:
			nd.store.write(entries)
			nd.stored(was.Persisted(w.Net.Now(), batch, nil))
			nd.wakeLater()
		}
	}
	w.Net.At(w.Net.Now()+syncTime, done)
}

func (s *store) write(entries []replica.Entry) {
	if s.disk == nil {
		s.disk = map[string][]byte{}
	}
	for _, e := range entries {
		if _, ok := s.disk[string(e.Key)]; !ok {
			s.order = append(s.order, string(e.Key))
		}
		s.disk[string(e.Key)] = e.Value
	}
}

// feed gives the replica what a step of the fabric has brought.
func (nd *Node) feed(r *fabric.Ready) {
	now, s := nd.World.Net.Now(), nd.store.r
	// What follows calls the fabric again, which ends the life of r.
	opaque, delivered := slices.Clone(r.Opaque), slices.Clone(r.Delivered)
	if r.NeighboursChanged {
		nd.stored(s.Neighbours(now, r.Neighbours))
	}
	for _, o := range opaque {
		nd.stored(s.Receive(now, o.From, o.Msg))
	}
	for _, d := range delivered {
		if d.Topic == kvTopic {
			nd.stored(s.Delivered(now, d.ID.Origin, d.Payload))
		}
	}
}

// changed takes what the watch has seen.
func (nd *Node) changed() {
	events, more := nd.store.r.Next(nd.store.watch, 1024)
	for _, e := range events {
		if e.Kind == replica.Changed {
			nd.World.visible(nd, strings.Join(e.Key, "/"))
		}
	}
	if more {
		nd.changed()
	}
}

// Write has a node carry out an operation on a key.
func (nd *Node) Write(key []string, op crdt.Op) {
	now := nd.World.Net.Now()
	nd.stored(nd.store.r.Write(now, time.Unix(1e9, 0).Add(now), replica.Request{
		Token: 1, Writes: []replica.Write{{Key: key, Op: op}},
	}))
	nd.wakeLater()
}

// counter is the key of a counter of a scenario: own/NAME is each node's own,
// anything else is shared.
func (nd *Node) counter(name string) []string {
	if own, ok := strings.CutPrefix(name, "own/"); ok {
		return []string{"node", nd.ID.String(), own}
	}
	return []string{name}
}

func (nd *Node) incr(name string) { nd.Write(nd.counter(name), crdt.Incr(1)) }

// total is what a node sees of a counter: of an own one, the sum over all nodes.
func (nd *Node) total(name string) (n int64) {
	of := []*Node{nd}
	if strings.HasPrefix(name, "own/") {
		of = nd.World.Nodes
	}
	for _, o := range of {
		item, err := nd.store.r.Get(o.counter(name))
		if err != nil {
			nd.World.fail("%s cannot read %s: %v", nd.ID, name, err)
		}
		n += item.Value.Int
	}
	return n
}

// needsReplicas says whether a script writes to the store.
func (s *Script) needsReplicas() bool {
	for i := range s.Steps {
		if s.Steps[i].do.verb == "incr" {
			return true
		}
	}
	return false
}

// wakeLater sets the node's one timer.
func (nd *Node) wakeLater() {
	at := nd.F.NextTick()
	if nd.store.r != nil {
		at = min(at, nd.store.due)
	}
	nd.Place.WakeAt(at)
}

// updateKey is the key of the k-th update of a run.
func updateKey(k int) string { return fmt.Sprintf("update-%d", k) }
