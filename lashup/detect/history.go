package detect

import (
	"math"
	"slices"
	"time"
)

// history is the round trips to one node, on a logarithmic scale: eighths of an
// octave above a microsecond. The tail of round trips is long and multiplies
// rather than adds, so mean and deviation say more of their logarithms.
type history struct {
	// ring is as long as some five seconds of pings: what a start or a starved
	// moment did to them is soon forgotten.
	ring    [12]uint8
	n, pos  uint8
	last    time.Duration
	low     time.Duration // the shortest that is kept
	high    time.Duration // the second longest
	timeout time.Duration // what an answer may take, without bounds
}

const perOctave = 8

// add takes in a round trip.
func (h *history) add(rtt time.Duration) {
	h.last = rtt
	h.ring[h.pos] = quantize(rtt)
	h.pos = (h.pos + 1) % uint8(len(h.ring))
	h.n = min(h.n+1, uint8(len(h.ring)))
	h.sum()
}

// sum works out high and timeout: what is longer than the mean by three mean
// deviations, and than twice the second longest. The longest counts for nothing
// there: one outlier is no rule. It bounds the time, at twice of it: of round trips
// that were long once and are short now the deviation says no more than that.
func (h *history) sum() {
	sorted := h.ring
	kept := sorted[:h.n]
	slices.Sort(kept)
	longest := float64(kept[len(kept)-1])
	kept = kept[:max(1, len(kept)-1)]
	mean, deviation := 0.0, 0.0
	for _, q := range kept {
		mean += float64(q) / float64(len(kept))
	}
	for _, q := range kept {
		deviation += math.Abs(float64(q)-mean) / float64(len(kept))
	}
	h.low = expand(float64(kept[0]))
	second := float64(kept[len(kept)-1])
	h.high = expand(second)
	h.timeout = expand(max(min(mean+3*deviation, longest+perOctave), second+perOctave))
}

// measured says whether there are enough round trips to trust them.
func (h *history) measured() bool { return h.n >= warmUp }

func quantize(rtt time.Duration) uint8 {
	us := float64(rtt) / float64(time.Microsecond)
	return uint8(min(max(math.Round(perOctave*math.Log2(max(us, 1))), 0), 255))
}

func expand(q float64) time.Duration {
	return time.Duration(math.Exp2(q/perOctave) * float64(time.Microsecond))
}
