package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// JSON writes the report with every sample, and each line's medians and ratio.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// MarshalJSON adds to a line what follows from its samples.
func (l *Line) MarshalJSON() ([]byte, error) {
	type bare Line
	out := struct {
		*bare
		OursMedian *Sample  `json:"ours_median,omitempty"`
		PeerMedian *Sample  `json:"peer_median,omitempty"`
		Ratio      *float64 `json:"ratio,omitempty"`
		Bound      string   `json:"ratio_bound,omitempty"`
		Better     string   `json:"better,omitempty"`
	}{bare: (*bare)(l), Better: l.Verdict()}
	if len(l.Ours) > 0 {
		m := Median(l.Ours)
		out.OursMedian = &m
	}
	if len(l.Peer) > 0 {
		m := Median(l.Peer)
		out.PeerMedian = &m
	}
	if ratio, bound, ok := l.Ratio(); ok {
		out.Ratio, out.Bound = &ratio, bound
	}
	return json.Marshal(out)
}

// Markdown writes the report for people.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# fulcrum beside its peers\n\nWritten by `cd bench && go run .`; [how to read it](../bench/README.md).\n\n")
	for _, f := range r.Machine.fields() {
		fmt.Fprintf(&b, "* %s: %s\n", f[0], f[1])
	}
	fmt.Fprintf(&b, "* run: %d rounds, %.0f s\n\n", r.Rounds, r.Took)
	b.WriteString("Each figure is the median of the rounds, with the least and the greatest where they differ; a ratio is ours divided by the\n" +
		"peer's, the median over the pairs measured beside each other. \"> 20\" is a measurement that was given up at 20.\n")
	for _, s := range r.Sections {
		s.markdown(&b, r.Rounds)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Section) markdown(b *strings.Builder, rounds int) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n", s.Name, s.About)
	if s.Error != "" {
		fmt.Fprintf(b, "\n**Not whole: %s.**\n", s.Error)
	}
	if s.Rounds < rounds {
		fmt.Fprintf(b, "\n%d of %d rounds: the time for this part was used up.\n", s.Rounds, rounds)
	}
	b.WriteString("\n| what | ours | peer | ratio | better | |\n|---|---|---|---|---|---|\n")
	for _, l := range s.Lines {
		peer := values(l.Peer, l.Unit)
		if l.PeerName != "" {
			peer += " (" + l.PeerName + ")"
		}
		ratio := ""
		if q, bound, ok := l.Ratio(); ok {
			ratio = strings.TrimSpace(bound + " " + figure(q))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", l.What, values(l.Ours, l.Unit), peer, ratio, l.better(), l.Note)
	}
}

// better says who is better, and by what factor.
func (l *Line) better() string {
	q, bound, ok := l.Ratio()
	if !ok {
		return ""
	}
	factor := figure(max(q, 1/q)) + "×"
	if bound != "" {
		factor = "> " + factor
	}
	switch l.Verdict() {
	case "ours":
		return "ours, " + factor
	case "peer":
		return "**the peer, " + factor + "**"
	case "even":
		return "even"
	}
	return ""
}

// values prints samples: the median, and the extremes.
func values(samples []Sample, unit string) string {
	if len(samples) == 0 {
		return ""
	}
	m := Median(samples)
	least := slices.MinFunc(samples, compare)
	greatest := slices.MaxFunc(samples, compare)
	text := strings.TrimSpace(m.String() + " " + unit)
	if least.String() != greatest.String() {
		text += fmt.Sprintf(" (%s–%s)", least, greatest)
	}
	return text
}

func compare(a, b Sample) int {
	switch {
	case a.Value < b.Value:
		return -1
	case a.Value > b.Value:
		return 1
	}
	return 0
}

// String prints the value, with ">" before it where the limit was reached.
func (s Sample) String() string {
	if s.Over {
		return "> " + figure(s.Value)
	}
	return figure(s.Value)
}
