package cast

import "slices"

// Bounds of a window.
const (
	fewSpans = 64          // their gaps may be of any age
	exact    = 2048        // of the newest numbers all gaps stay
	maxSpans = exact/2 + 1 // 16 KiB, if every other message passes elsewhere
	maxReach = 4096        // below the first message that was heard of an origin
)

// window remembers which messages of one origin were seen: those of its newest
// incarnation as spans of sequence numbers, all earlier incarnations as a whole.
// When there are too many gaps, the lowest is taken as seen, if it is old: a late
// one may be a message that was lost, among many that pass elsewhere.
type window struct {
	epoch uint64
	spans []span // ascending, with gaps between them
}

// span is the numbers lo to hi, both included.
type span struct{ lo, hi uint64 }

// seen says whether a message is a duplicate, or of an incarnation that ended.
func (w *window) seen(epoch, seq uint64) bool {
	if w == nil || epoch > w.epoch {
		return false
	}
	if epoch < w.epoch {
		return true
	}
	i, ok := w.find(seq)
	return ok && w.spans[i].lo <= seq
}

// find gives the first span that ends at seq or later.
func (w *window) find(seq uint64) (int, bool) {
	i, _ := slices.BinarySearchFunc(w.spans, seq, func(s span, seq uint64) int {
		switch {
		case s.hi < seq:
			return -1
		case s.hi > seq:
			return 1
		}
		return 0
	})
	return i, i < len(w.spans)
}

// mark notes a message that was not seen.
func (w *window) mark(epoch, seq uint64) {
	if epoch != w.epoch {
		w.epoch, w.spans = epoch, w.spans[:0]
		if seq > maxReach {
			w.spans = append(w.spans, span{1, seq - maxReach})
		}
	}
	i, _ := w.find(seq)
	below := i > 0 && w.spans[i-1].hi == seq-1
	above := i < len(w.spans) && w.spans[i].lo == seq+1
	switch {
	case below && above:
		w.spans[i-1].hi = w.spans[i].hi
		w.spans = slices.Delete(w.spans, i, i+1)
	case below:
		w.spans[i-1].hi = seq
	case above:
		w.spans[i].lo = seq
	default:
		w.spans = slices.Insert(w.spans, i, span{seq, seq})
	}
	w.forget()
}

// forget takes the lowest gaps as seen, those that are too many and old.
func (w *window) forget() {
	n, newest := 0, w.spans[len(w.spans)-1].hi
	for len(w.spans)-n > fewSpans && newest-w.spans[n+1].lo >= exact {
		n++
	}
	w.spans[n].lo = w.spans[0].lo
	w.spans = slices.Delete(w.spans, 0, n)
}

// seen says whether the message was seen.
func (c *Cast) seen(id ID) bool { return c.windows[id.Origin].seen(id.Epoch, id.Seq) }

// mark notes that it was. Windows of origins that the table forgot go when there
// are too many: none of their messages can be verified any more.
func (c *Cast) mark(id ID) {
	w := c.windows[id.Origin]
	if w == nil {
		if len(c.windows) > 2*c.cfg.Table.Len()+64 {
			for o := range c.windows {
				if c.cfg.Table.Get(o) == nil {
					delete(c.windows, o)
				}
			}
		}
		w = new(window)
		c.windows[id.Origin] = w
	}
	w.mark(id.Epoch, id.Seq)
}
