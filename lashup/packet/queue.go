package packet

import (
	"io"
	"sync"
)

const (
	// BulkRoom is how many bytes of bulk (multicasts, the store) a queue takes.
	BulkRoom = 8 << 20
	// reserve is what it takes beyond that of the rest, which is small and must
	// get through. A link whose peer lets that overflow is of no use.
	reserve = 4 << 20
	// perMessage is reckoned for each message beside its size.
	perMessage = 64
	// flushAt is how many bytes are gathered before they are written.
	flushAt = 64 << 10
	// keepBuffer is the largest buffer that is kept for the next batch.
	keepBuffer = 32 << 10
)

// Queue is what waits to be written on one link, in order: so many bytes, and no
// more.
type Queue struct {
	mu     sync.Mutex
	list   []Message
	bytes  int // of list, and of what is being written
	closed bool
	more   chan struct{} // holds a token when there is something to do
}

// NewQueue makes an empty queue.
func NewQueue() *Queue { return &Queue{more: make(chan struct{}, 1)} }

// Push adds a message. False: there is no room for it, or the queue is closed. It
// does not block. Bulk leaves some room for the rest.
func (q *Queue) Push(m Message, bulk bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	limit := BulkRoom
	if !bulk {
		limit += reserve
	}
	n := m.Size() + perMessage
	if q.closed || q.bytes+n > limit {
		return false
	}
	q.list = append(q.list, m)
	q.bytes += n
	q.wake()
	return true
}

// Room is how many bytes of bulk the queue would take.
func (q *Queue) Room() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0
	}
	return max(0, BulkRoom-q.bytes)
}

// Close lets nothing in any more; Run ends when it has written what there is.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake()
}

func (q *Queue) wake() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// take gives all that is queued; ok is false when the queue is closed and empty.
func (q *Queue) take(into []Message) (list []Message, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	list, q.list = q.list, into[:0]
	return list, len(list) > 0 || !q.closed
}

// wrote gives room back.
func (q *Queue) wrote(bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= bytes
}

// Run writes what is pushed, several messages at a time where several wait, until
// Close (nil) or until w or a message fails. One goroutine runs it, once. w bounds
// how long a write may take.
func (q *Queue) Run(w io.Writer) error {
	var list []Message
	var buf []byte
	for {
		var ok bool
		if list, ok = q.take(list); !ok {
			return nil
		}
		if len(list) == 0 {
			<-q.more
			continue
		}
		held := 0
		for i, m := range list {
			var err error
			if buf, err = AppendFrame(buf, m); err != nil {
				return err
			}
			held += m.Size() + perMessage
			list[i] = nil
			if len(buf) < flushAt && i < len(list)-1 {
				continue
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
			q.wrote(held)
			if held, buf = 0, buf[:0]; cap(buf) > keepBuffer {
				buf = nil
			}
		}
	}
}
