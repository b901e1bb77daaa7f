package sim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"fulcrum.example/crux"
)

func parsed(t *testing.T, text string) *Script {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAScriptIsRead(t *testing.T) {
	t.Parallel()
	s := parsed(t, `
# who
nodes M1-M3,A1-A5   # eight
masters M1-M3
absent A5
loss 2.5%
delay 3ms
at 5s cut A1,A2 | A3-A5
by 6s down A3 as hung at !A1
from 5s to 1m not down M1
always up all
`)
	if want := []string{"M1", "M2", "M3", "A1", "A2", "A3", "A4", "A5"}; !slices.Equal(s.Names, want) {
		t.Errorf("names %v", s.Names)
	}
	if !slices.Equal(s.Contacts.nodes, []int{0, 1, 2}) || !slices.Equal(s.Absent.nodes, []int{7}) || s.Loss != 0.025 || s.Delay != 3*time.Millisecond {
		t.Errorf("%+v", s)
	}
	cut, down, not, up := s.Steps[0], s.Steps[1], s.Steps[2], s.Steps[3]
	if cut.kind != stepAt || cut.at != 5*time.Second || !cut.do.both || !slices.Equal(cut.do.whom.nodes, []int{5, 6, 7}) {
		t.Errorf("%+v", cut)
	}
	if down.kind != stepBy || down.at != 5*time.Second || down.until != 6*time.Second || down.cond.word != "hung" || !down.cond.at.not || down.line != 9 {
		t.Errorf("%+v", down)
	}
	if not.until != time.Minute || !not.cond.not || up.until != always || len(up.cond.who.nodes) != 8 {
		t.Errorf("%+v and %+v", not, up)
	}
}

func TestARepeatIsSpelledOut(t *testing.T) {
	t.Parallel()
	s := parsed(t, `nodes 5
repeat 3 from 10s every 5s pick x of n4,n5
at 0s kill x
by 1s down x at !n1
at 2s restart n1
end
by 30s up all`)
	if len(s.Steps) != 10 || len(s.Picks) != 3 {
		t.Fatalf("%d steps, %d picks", len(s.Steps), len(s.Picks))
	}
	for k := range 3 {
		kill, down := s.Steps[3*k], s.Steps[3*k+1]
		base := 10*time.Second + time.Duration(k)*5*time.Second
		if kill.at != base || kill.do.who.pick != k+1 || down.cond.who.pick != k+1 || down.at != base || down.until != base+time.Second {
			t.Errorf("round %d: %+v, %+v", k, kill, down)
		}
	}
	if last := s.Steps[9]; last.at != 22*time.Second {
		t.Errorf("what comes after the repeat counts from %v", last.at)
	}
}

func TestAScriptWithAMistakeIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                               "there are no nodes",
		"at 5s kill n1":                                  "line 1 (at 5s kill n1): the first statement",
		"nodes 3\nnodes 4":                               "line 2 (nodes 4): the nodes have been named",
		"nodes a,a":                                      `"a" is no name`,
		"nodes 3\nat 5s kill n4":                         `line 2 (at 5s kill n4): there is no node "n4"`,
		"nodes 3\nat 5s kil n3":                          `"kil" is no action`,
		"nodes 3\nat 5 kill n3":                          `"5" is no time`,
		"nodes 3\nat 5s kill":                            "the name of a node is missing",
		"nodes 3\nat 5s kill n3 now":                     `"now" is too much`,
		"nodes 3\nat 5s cut n1 n2":                       `"n2" stands where ">" should`,
		"nodes 3\nat 5s kill n3-n1":                      `"n3-n1" is no range`,
		"nodes 3\nat 5s\nby 4s up n1":                    "an action is missing",
		"nodes 3\nat 5s heal\nby 4s up n1":               "4s is before the line above, at 5s",
		"nodes 3\nby 4s upp n1":                          `"upp" is no condition`,
		"nodes 3\nby 4s down n1 as ill":                  `"ill" is none of`,
		"nodes 3\nby 4s components many":                 `"many" is no number`,
		"nodes 3\nloss 0.01":                             `"0.01" is no percentage`,
		"nodes 3\nend":                                   "there is no repeat",
		"nodes 3\nrepeat 2 from 1s every 1s\nat 1s heal": "a repeat has no end",
		"nodes 3\nwhatever":                              `"whatever" is no statement`,
	} {
		_, err := Parse(text)
		if err == nil || crux.KindOf(err) != crux.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("nodes 3\nat 5s cut n1 > n2\nby 6s down n3")
	f.Add("nodes 3\nrepeat 2 from 1s every 1s pick x of n2\nat 0s kill x\nend")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1000 {
			return
		}
		if s, err := Parse(text); (s == nil) == (err == nil) {
			t.Error("a script and an error, or neither")
		}
	})
}
