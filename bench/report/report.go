// Package report holds what the benchmarks found, and writes it down as
// Markdown and as JSON. It measures nothing.
//
// A Sample is one measurement; a Line puts ours beside the peer's of the same
// run. Nothing here is safe for several goroutines at once.
package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// even is how far from 1 a ratio may be for the two to count as equal.
const even = 0.05

// Sample is one measurement. Over: the limit was reached first, and the truth is
// greater than Value.
type Sample struct {
	Value float64 `json:"value"`
	Over  bool    `json:"over,omitempty"`
}

// Of makes samples of plain values.
func Of(values ...float64) []Sample {
	out := make([]Sample, len(values))
	for i, v := range values {
		out[i].Value = v
	}
	return out
}

// Median is the middle sample, or the mean of the two in the middle.
// There must be at least one.
func Median(samples []Sample) Sample {
	s := slices.SortedFunc(slices.Values(samples), func(a, b Sample) int { return cmp.Compare(a.Value, b.Value) })
	low, high := s[(len(s)-1)/2], s[len(s)/2]
	return Sample{Value: (low.Value + high.Value) / 2, Over: low.Over || high.Over}
}

// Line is one thing that was measured, ours and, where there is one, a peer's.
type Line struct {
	What string   `json:"what"`
	Unit string   `json:"unit"` // of the values: s, ms, µs, ns, B, or a word
	More bool     `json:"more_is_better,omitempty"`
	Ours []Sample `json:"ours"`
	Peer []Sample `json:"peer,omitempty"`
	// PeerName is who the peer is, with what setting.
	PeerName string `json:"peer_name,omitempty"`
	Note     string `json:"note,omitempty"`
}

// Ratio is the median of ours divided by the peer's, pair by pair where each
// sample of ours has one of the peer's beside it. Bound is "<" or ">" where
// only so much is known because one of them reached its limit. ok=false: there
// is no ratio.
func (l *Line) Ratio() (ratio float64, bound string, ok bool) {
	if len(l.Ours) == 0 || len(l.Peer) == 0 {
		return 0, "", false
	}
	ours, peer := Median(l.Ours), Median(l.Peer)
	if peer.Value == 0 || ours.Over && peer.Over {
		return 0, "", false
	}
	switch {
	case peer.Over:
		bound = "<"
	case ours.Over:
		bound = ">"
	case len(l.Ours) == len(l.Peer):
		var pairs []Sample
		for i := range l.Ours {
			if l.Peer[i].Value != 0 && !l.Ours[i].Over && !l.Peer[i].Over {
				pairs = append(pairs, Sample{Value: l.Ours[i].Value / l.Peer[i].Value})
			}
		}
		if len(pairs) == len(l.Ours) {
			return Median(pairs).Value, "", true
		}
	}
	return ours.Value / peer.Value, bound, true
}

// Verdict says in words which is better: "ours", "peer", "even", or "" where
// that is not known.
func (l *Line) Verdict() string {
	ratio, bound, ok := l.Ratio()
	if !ok {
		return ""
	}
	if l.More {
		ratio = 1 / ratio
		bound = map[string]string{"<": ">", ">": "<"}[bound]
	}
	switch {
	case bound == "<" && ratio > 1 || bound == ">" && ratio < 1:
		return ""
	case bound == "" && math.Abs(ratio-1) <= even:
		return "even"
	case ratio < 1:
		return "ours"
	}
	return "peer"
}

// Section is what one benchmark found.
type Section struct {
	Name   string  `json:"name"`
	About  string  `json:"about"` // how it was measured
	Lines  []*Line `json:"lines"`
	Rounds int     `json:"rounds"` // that were measured
	Took   float64 `json:"took_s"`
	Error  string  `json:"error,omitempty"` // why it is not whole
}

// Line gives the section's line of that name, and adds it where there is none.
func (s *Section) Line(what string, set Line) *Line {
	for _, l := range s.Lines {
		if l.What == what {
			return l
		}
	}
	set.What = what
	s.Lines = append(s.Lines, &set)
	return &set
}

// Add appends a sample of ours and one of the peer's.
func (l *Line) Add(ours, peer Sample) {
	l.Ours, l.Peer = append(l.Ours, ours), append(l.Peer, peer)
}

// Report is one run.
type Report struct {
	Machine  Machine    `json:"machine"`
	Rounds   int        `json:"rounds"` // that were asked for
	Took     float64    `json:"took_s"`
	Sections []*Section `json:"sections"`
}

// figure prints a value with three digits that count.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
