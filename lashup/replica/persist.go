package replica

import (
	"time"

	"fulcrum.example/crux"
)

// disk is what is on its way to the disk.
type disk struct {
	// Of this call.
	lines   []string             // keys of lines that have changed
	vectors []crux.NodeID        // nodes whose vector has changed: written after the lines
	marked  map[crux.NodeID]bool // the same
	acks    []Ack
	deltas  map[string][]byte // what lines of deltas hold

	batch   uint64 // the last that was handed out
	saved   uint64 // the last that is on disk
	pending []pending
	bytes   int // of pending

	failed  bool
	why     error
	unsaved map[string]bool // lines that were lost by a failure
	retryAt time.Duration
	backoff time.Duration
	retried uint64 // the batch that has all of unsaved
}

// pending is a batch that is not known to be on disk.
type pending struct {
	batch uint64
	bytes int
	lines []string
	acks  []Ack
}

const (
	retryFirst = time.Second
	retryMost  = 30 * time.Second
)

// persist notes that a line has changed. What it holds is read at the end of the
// call.
func (r *Replica) persist(kind byte, key string) {
	r.disk.lines = append(r.disk.lines, string(kind)+key)
}

// persistVector notes that what was received of a node has changed.
func (r *Replica) persistVector(id crux.NodeID) {
	d := &r.disk
	if d.marked == nil {
		d.marked = map[crux.NodeID]bool{}
	}
	if !d.marked[id] {
		d.marked[id] = true
		d.vectors = append(d.vectors, id)
	}
}

// endBatch hands out what has changed. What keys hold and what was received of
// their operations are in one batch, for neither may be on disk without the other.
func (r *Replica) endBatch() {
	d := &r.disk
	for _, id := range d.vectors {
		d.lines = append(d.lines, string(lineVector)+string(id[:]))
	}
	if len(d.lines) == 0 {
		return
	}
	if d.failed && d.retried == 0 {
		// What was lost goes first: what was received must not be on disk without
		// the keys. It all waits for the next try.
		r.lose(d.lines)
		clear(d.marked)
		d.lines, d.vectors = d.lines[:0], d.vectors[:0]
		return
	}
	p := pending{batch: d.batch + 1, acks: d.acks}
	seen := make(map[string]bool, len(d.lines))
	for _, key := range d.lines {
		if seen[key] {
			continue
		}
		seen[key] = true
		e := Entry{[]byte(key), r.line(key)}
		p.lines = append(p.lines, key)
		p.bytes += len(e.Key) + len(e.Value)
		r.out.Persist = append(r.out.Persist, e)
	}
	clear(d.marked)
	clear(d.deltas)
	d.lines, d.vectors, d.acks = d.lines[:0], d.vectors[:0], nil
	d.batch, d.bytes = p.batch, d.bytes+p.bytes
	d.pending = append(d.pending, p)
	r.out.Batch = p.batch
	r.stats.Persisted += uint64(p.bytes)
}

// Persisted says that all batches up to and including batch are on disk, or, with
// an error, that none of those that were not before is known to be. After an
// error writes are refused until what was lost has been written anew: the replica
// hands it out again after a while.
func (r *Replica) Persisted(now time.Duration, batch uint64, err error) Ready {
	r.begin(now)
	d := &r.disk
	n := 0
	for n < len(d.pending) && d.pending[n].batch <= batch {
		p := &d.pending[n]
		d.bytes -= p.bytes
		for _, a := range p.acks {
			if err != nil {
				a.Err = crux.Errorf("write", crux.KindOf(err), "the write was applied, but may not survive a crash: %w", err)
			}
			r.out.Acks = append(r.out.Acks, a)
		}
		if err != nil {
			r.lose(p.lines)
		}
		n++
	}
	d.pending = append(d.pending[:0:0], d.pending[n:]...)
	switch {
	case err != nil:
		d.failed, d.why = true, err
		r.stats.DiskErrors++
		d.backoff = min(max(2*d.backoff, retryFirst), retryMost)
		d.retryAt = r.now + d.backoff
	case n > 0:
		d.saved = max(d.saved, batch)
		if d.failed && d.retried > 0 && batch >= d.retried {
			d.failed, d.why, d.backoff, d.retried = false, nil, 0, 0
			clear(d.unsaved)
		}
		r.saved()
	}
	return r.end()
}

func (r *Replica) lose(lines []string) {
	d := &r.disk
	if d.unsaved == nil {
		d.unsaved = map[string]bool{}
	}
	for _, key := range lines {
		if key[0] != lineDelta {
			d.unsaved[key] = true
			continue
		}
		for _, line := range r.wholeInstead(key) {
			d.unsaved[line] = true
		}
	}
	d.retried = 0
}

// retry hands out again what a failure of the disk has lost.
func (r *Replica) retry() {
	d := &r.disk
	d.retryAt = never
	if !d.failed {
		return
	}
	if len(d.unsaved) == 0 { // nothing was lost
		d.failed, d.why, d.backoff = false, nil, 0
		return
	}
	for _, key := range sortedKeys(d.unsaved) {
		if key[0] == lineVector {
			var id crux.NodeID
			copy(id[:], key[1:])
			r.persistVector(id)
			continue
		}
		d.lines = append(d.lines, key)
	}
	d.retried = d.batch + 1
}
