package seal

import "encoding/binary"

// WindowBits is how far behind the newest counter a packet may come and still
// be told from a replay. A sender's counter may also move with what it sends to
// others, so the window is wide.
const WindowBits = 1024

const windowWords = WindowBits/64 + 1

// Window is a sliding replay window (RFC 6479): the newest counter and a ring of
// bits for those just before it. The zero value has seen nothing.
type Window struct {
	top  uint64 // the newest counter, plus one; 0: none yet
	ring [windowWords]uint64
}

// Fresh says whether counter was not seen and is not too old. It changes
// nothing: a packet counts as seen only once the AEAD has accepted it.
func (w *Window) Fresh(counter uint64) bool {
	if counter == ^uint64(0) { // top would wrap; nobody gets there honestly
		return false
	}
	if counter >= w.top {
		return true
	}
	if w.top-counter > WindowBits {
		return false
	}
	return w.ring[counter/64%windowWords]&(1<<(counter%64)) == 0
}

// Mark notes that counter, which is fresh, was seen.
func (w *Window) Mark(counter uint64) {
	block := counter / 64
	if counter >= w.top {
		// Clear the blocks that the window moves over. Before the first packet
		// there is nothing to clear.
		if w.top > 0 {
			last := (w.top - 1) / 64
			for i := uint64(1); i <= min(block-last, windowWords); i++ {
				w.ring[(last+i)%windowWords] = 0
			}
		}
		w.top = counter + 1
	}
	w.ring[block%windowWords] |= 1 << (counter % 64)
}

// WindowSize is the length of what Append appends, in bytes.
const WindowSize = 8 + 8*windowWords

// Append appends the window's state, for another process that goes on with it.
func (w *Window) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, w.top)
	for _, x := range w.ring {
		b = binary.BigEndian.AppendUint64(b, x)
	}
	return b
}

// ReadWindow reads what Append wrote; false: b is not WindowSize bytes long.
func ReadWindow(b []byte) (w Window, ok bool) {
	if len(b) != WindowSize {
		return w, false
	}
	w.top = binary.BigEndian.Uint64(b)
	for i := range w.ring {
		w.ring[i] = binary.BigEndian.Uint64(b[8+8*i:])
	}
	return w, true
}
