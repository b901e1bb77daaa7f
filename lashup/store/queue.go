package store

import (
	"sync"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
)

// Bounds of what waits for the loop. Of what others send, what is beyond them is
// dropped: the comparison with a neighbour brings it later.
const (
	maxWrites    = 1 << 14
	maxMail      = 1 << 13
	maxMailBytes = 32 << 20
)

// pending is a write that waits for its acknowledgement.
type pending struct {
	writes []replica.Write
	ack    chan replica.Ack // capacity 1
}

// mail is what came from the network.
type mail struct {
	from crux.NodeID
	data []byte
	cast bool // from has multicast it
}

// inbox is what waits for the loop.
type inbox struct {
	more chan struct{}

	mu      sync.Mutex
	closed  bool
	writes  []pending
	mail    []mail
	bytes   int
	dropped int64
}

func (b *inbox) init() { b.more = make(chan struct{}, 1) }

func (b *inbox) wake() {
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// write adds a write; false: there are too many, or the store is closed.
func (b *inbox) write(p pending) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(b.writes) >= maxWrites {
		return false
	}
	b.writes = append(b.writes, p)
	b.wake()
	return true
}

// deliver adds what came from the network, or drops it.
func (b *inbox) deliver(m mail) {
	size := len(m.data)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(b.mail) >= maxMail || b.bytes+size > maxMailBytes {
		b.dropped++
		return
	}
	b.mail, b.bytes = append(b.mail, m), b.bytes+size
	b.wake()
}

// lost counts a message that was not sent.
func (b *inbox) lost() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped++
}

func (b *inbox) take() ([]pending, []mail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w, m := b.writes, b.mail
	b.writes, b.mail, b.bytes = nil, nil, 0
	return w, m
}

// close takes what is there; nothing is added any more.
func (b *inbox) close() ([]pending, []mail) {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	return b.take()
}

// waiting counts the writes that the loop has not taken.
func (b *inbox) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.writes)
}

func (b *inbox) drops() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}

// outbox is what waits for the disk. The replica bounds it (Limits.Unsaved).
type outbox struct {
	mu      sync.Mutex
	some    *sync.Cond
	closed  bool
	batch   uint64 // the last one's number
	entries [][]replica.Entry
	// failed: a batch was lost, and the replica does not know it yet. Those that
	// follow must not be on disk without it: they are lost, too.
	failed bool
	lost   int // how many followed
}

func (b *outbox) init() { b.some = sync.NewCond(&b.mu) }

func (b *outbox) put(batch uint64, entries []replica.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.batch = batch
	if b.failed {
		b.lost++
		return
	}
	b.entries = append(b.entries, entries)
	b.some.Signal()
}

// fail loses all batches from the one that failed on, until clear.
func (b *outbox) fail() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed, b.lost = true, len(b.entries)
	b.entries = nil
}

// clear says up to which batch all are lost, and how many followed the one that
// failed; what is put next is written again.
func (b *outbox) clear() (batch uint64, lost int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch, lost = b.batch, b.lost
	b.failed, b.lost = false, 0
	return batch, lost
}

// take gives what there is and, if it is told to, waits until there is something;
// false: nothing comes any more.
func (b *outbox) take(wait bool) (batch uint64, entries [][]replica.Entry, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for wait && len(b.entries) == 0 && !b.closed {
		b.some.Wait()
	}
	if b.closed {
		return 0, nil, false
	}
	entries, b.entries = b.entries, nil
	return b.batch, entries, true
}

// close drops what waits still.
func (b *outbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.some.Signal()
}
