package packet

// windowBits is how far behind the newest counter a packet may come and still
// be told from a replay. A sender's group counter also moves with what it sends
// to others, so the window is wide.
const windowBits = 1024

// window is a sliding replay window (RFC 6479): the newest counter and a ring of
// bits for those just before it.
type window struct {
	top  uint64 // the newest counter, plus one; 0: none yet
	ring [windowBits/64 + 1]uint64
}

// fresh says whether counter was not seen and is not too old. It changes
// nothing: a packet counts as seen only once the AEAD has accepted it.
func (w *window) fresh(counter uint64) bool {
	if counter == ^uint64(0) { // top would wrap; nobody gets there honestly
		return false
	}
	if counter >= w.top {
		return true
	}
	if w.top-counter > windowBits {
		return false
	}
	return w.ring[counter/64%uint64(len(w.ring))]&(1<<(counter%64)) == 0
}

// mark notes that counter, which is fresh, was seen.
func (w *window) mark(counter uint64) {
	block, n := counter/64, uint64(len(w.ring))
	if counter >= w.top {
		// Clear the blocks that the window moves over. Before the first packet
		// there is nothing to clear.
		if w.top > 0 {
			last := (w.top - 1) / 64
			for i := uint64(1); i <= min(block-last, n); i++ {
				w.ring[(last+i)%n] = 0
			}
		}
		w.top = counter + 1
	}
	w.ring[block%n] |= 1 << (counter % 64)
}
