package sim

// event is what will happen at a time. The heap orders small keys; the packets
// themselves lie still in a slab.
type event struct {
	at   int64 // nanoseconds of virtual time
	seq  uint64
	slot uint32
}

func (e event) before(o event) bool {
	return e.at < o.at || e.at == o.at && e.seq < o.seq
}

// queue is a 4-ary heap of events, earliest first; equal times in the order of
// pushing.
type queue struct {
	h   []event
	seq uint64
}

func (q *queue) push(at int64, slot uint32) {
	q.seq++
	e := event{at, q.seq, slot}
	q.h = append(q.h, e)
	i := len(q.h) - 1
	for i > 0 {
		p := (i - 1) / 4
		if !e.before(q.h[p]) {
			break
		}
		q.h[i] = q.h[p]
		i = p
	}
	q.h[i] = e
}

// pop takes the earliest event; the queue must not be empty.
func (q *queue) pop() event {
	top := q.h[0]
	n := len(q.h) - 1
	e := q.h[n]
	q.h = q.h[:n]
	if n == 0 {
		return top
	}
	i := 0
	for {
		c := 4*i + 1
		if c >= n {
			break
		}
		least := c
		for k := c + 1; k < min(c+4, n); k++ {
			if q.h[k].before(q.h[least]) {
				least = k
			}
		}
		if !q.h[least].before(e) {
			break
		}
		q.h[i] = q.h[least]
		i = least
	}
	q.h[i] = e
	return top
}
