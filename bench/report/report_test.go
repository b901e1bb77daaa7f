package report

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	over := Sample{Value: 20, Over: true}
	for _, c := range []struct {
		in   []Sample
		want Sample
	}{
		{Of(3), Sample{Value: 3}},
		{Of(9, 1, 2), Sample{Value: 2}},
		{Of(4, 1, 2, 9), Sample{Value: 3}},
		{append(Of(1, 2), over), Sample{Value: 2}},
		{append(Of(1), over, over), over},
		{append(Of(1), over), Sample{Value: 10.5, Over: true}},
	} {
		if got := Median(c.in); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.in, got, c.want)
		}
	}
}

func TestRatioIsOfPairsAndKnowsItsBounds(t *testing.T) {
	over := []Sample{{Value: 20, Over: true}}
	for name, c := range map[string]struct {
		line    Line
		ratio   float64
		bound   string
		ok      bool
		verdict string
	}{
		"pairs":            {Line{Ours: Of(1, 20, 3), Peer: Of(2, 10, 9)}, 0.5, "", true, "ours"},
		"peer better":      {Line{Ours: Of(3), Peer: Of(2)}, 1.5, "", true, "peer"},
		"even":             {Line{Ours: Of(1.04), Peer: Of(1)}, 1.04, "", true, "even"},
		"more is better":   {Line{More: true, Ours: Of(3), Peer: Of(2)}, 1.5, "", true, "ours"},
		"peer gave up":     {Line{Ours: Of(2), Peer: over}, 0.1, "<", true, "ours"},
		"ours gave up":     {Line{Ours: over, Peer: Of(2)}, 10, ">", true, "peer"},
		"both gave up":     {Line{Ours: over, Peer: over}, 0, "", false, ""},
		"peer may be less": {Line{Ours: over, Peer: Of(30)}, 20. / 30, ">", true, ""},
		"no peer":          {Line{Ours: Of(1)}, 0, "", false, ""},
		"peer is zero":     {Line{Ours: Of(1), Peer: Of(0)}, 0, "", false, ""},
	} {
		ratio, bound, ok := c.line.Ratio()
		if ratio != c.ratio || bound != c.bound || ok != c.ok || c.line.Verdict() != c.verdict {
			t.Errorf("%s: ratio %v %q %v, %q better", name, ratio, bound, ok, c.line.Verdict())
		}
	}
}

func TestReportSaysWhoIsBetterAndWhatIsMissing(t *testing.T) {
	s := &Section{Name: "Calls", Rounds: 1, Error: "the peer fell over"}
	s.Line("slow", Line{Unit: "s", PeerName: "them"}).Add(Sample{Value: 8}, Sample{Value: 2})
	s.Line("fast", Line{Unit: "s", PeerName: "them"}).Add(Sample{Value: 0.5}, Sample{Value: 20, Over: true})
	s.Line("slow", Line{}).Add(Sample{Value: 9}, Sample{Value: 3})
	r := &Report{Rounds: 3, Machine: ThisMachine(), Sections: []*Section{s}}
	var md, js strings.Builder
	if err := r.Markdown(&md); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| slow | 8.50 s (8.00–9.00) | 2.50 s (2.00–3.00) (them) | 3.50 | **the peer, 3.50×** |",
		"| fast | 0.5 s | > 20.0 s (them) | < 0.025 | ours, > 40.0× |",
		"Not whole: the peer fell over", "1 of 3 rounds", "load average",
	} {
		if !strings.Contains(md.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, md.String())
		}
	}
	if err := r.JSON(&js); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Sections []struct {
			Lines []struct {
				What        string
				Ours        []Sample
				Better      string
				Ratio       float64
				Bound       string `json:"ratio_bound"`
				Ours_median Sample
			}
		}
	}
	if err := json.Unmarshal([]byte(js.String()), &back); err != nil {
		t.Fatal(err)
	}
	if l := back.Sections[0].Lines; len(l) != 2 || l[0].Better != "peer" || l[0].Ratio != 3.5 || l[0].Ours_median.Value != 8.5 || len(l[0].Ours) != 2 || l[1].Bound != "<" {
		t.Errorf("read back %+v", l)
	}
}
