package sim

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"fulcrum.example/crux"
)

// Parse reads a scenario file. It fails with Invalid, naming the line.
func Parse(text string) (*Script, error) {
	p := &parser{s: &Script{Loss: 0.01, Delay: time.Millisecond, Spread: time.Second}}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		p.line, p.text = i+1, strings.Join(strings.Fields(line), " ")
		p.words = strings.Fields(line)
		if len(p.words) == 0 {
			continue
		}
		p.statement()
		if p.err == nil && len(p.words) > 0 {
			p.fail("%q is too much", strings.Join(p.words, " "))
		}
		if p.err != nil {
			return nil, p.err
		}
	}
	if p.finish(); p.err != nil {
		return nil, p.err
	}
	return p.s, nil
}

// parser eats the words of one line at a time. Its first error sticks, and its
// methods do nothing after it.
type parser struct {
	s      *Script
	index  map[string]int
	line   int
	text   string
	words  []string
	err    error
	last   time.Duration // the time of the last at or by
	repeat *repeat
	picks  map[string]int // X of the repeat that is open, as index of Picks plus one
}

// repeat is a block that is open.
type repeat struct {
	count       int
	from, every time.Duration
	pick        string
	of          []int
	first       int // index of its first step
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = crux.Errorf("read scenario", crux.Invalid, "line %d (%s): "+format, append([]any{p.line, p.text}, args...)...)
	}
}

func (p *parser) more() bool { return p.err == nil && len(p.words) > 0 }

// word eats the next word; what says what it should be.
func (p *parser) word(what string) string {
	if !p.more() {
		p.fail("%s is missing", what)
		return ""
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

// accept eats the next word if it is w.
func (p *parser) accept(w string) bool {
	if !p.more() || p.words[0] != w {
		return false
	}
	p.words = p.words[1:]
	return true
}

func (p *parser) expect(w string) {
	if got := p.word(strconv.Quote(w)); p.err == nil && got != w {
		p.fail("%q stands where %q should", got, w)
	}
}

func (p *parser) number(what string) int {
	w := p.word(what)
	n, err := strconv.Atoi(w)
	if p.err == nil && (err != nil || n < 0) {
		p.fail("%q is no number, which %s is", w, what)
	}
	return n
}

func (p *parser) time(what string) time.Duration {
	w := p.word(what)
	d, err := time.ParseDuration(w)
	if p.err == nil && (err != nil || d < 0) {
		p.fail("%q is no time, which %s is: as 1.5s", w, what)
	}
	return d
}

func (p *parser) percent() float64 {
	w := p.word("a percentage")
	n, ok := strings.CutSuffix(w, "%")
	f, err := strconv.ParseFloat(n, 64)
	if p.err == nil && (!ok || err != nil || f < 0 || f > 100) {
		p.fail("%q is no percentage: as 10%%", w)
	}
	return f / 100
}

// who eats a WHO.
func (p *parser) who() set {
	w := p.word("the name of a node")
	if p.err != nil {
		return set{}
	}
	w, not := strings.CutPrefix(w, "!")
	if i := p.picks[w]; i > 0 {
		return set{pick: i, not: not}
	}
	return set{nodes: p.names(w), not: not}
}

// names are the nodes that a list of names and ranges stands for.
func (p *parser) names(list string) (out []int) {
	if list == "all" {
		for i := range p.s.Names {
			out = append(out, i)
		}
		return out
	}
	for _, w := range strings.Split(list, ",") {
		for _, name := range p.span(w) {
			i, ok := p.index[name]
			if !ok {
				p.fail("there is no node %q", name)
				return nil
			}
			if !slices.Contains(out, i) {
				out = append(out, i)
			}
		}
	}
	return out
}

// span spells a range out: n4-n7 is n4, n5, n6, n7.
func (p *parser) span(w string) []string {
	lo, hi, ok := strings.Cut(w, "-")
	if !ok {
		return []string{w}
	}
	stem := strings.TrimRight(lo, "0123456789")
	a, err1 := strconv.Atoi(lo[len(stem):])
	b, err2 := strconv.Atoi(strings.TrimPrefix(hi, stem))
	if err1 != nil || err2 != nil || !strings.HasPrefix(hi, stem) || a > b || b-a > 100_000 {
		p.fail("%q is no range: as n4-n7", w)
		return nil
	}
	var out []string
	for i := a; i <= b; i++ {
		out = append(out, stem+strconv.Itoa(i))
	}
	return out
}

// statement reads a line.
func (p *parser) statement() {
	w := p.word("a statement")
	if p.index == nil && w != "nodes" {
		p.fail("the first statement says which nodes there are, as: nodes 10")
	}
	switch w {
	case "nodes":
		p.nodes()
	case "contacts":
		p.s.Contacts = p.who()
	case "masters":
		p.s.Masters = p.who()
	case "absent":
		p.s.Absent = p.who()
	case "loss":
		p.s.Loss = p.percent()
	case "delay":
		p.s.Delay = p.time("the delay")
	case "spread":
		p.s.Spread = p.time("the spread")
	case "formed":
		p.s.Formed = true
	case "at":
		p.last = p.time("the time")
		p.add(step{kind: stepAt, at: p.last, do: p.action()})
	case "by":
		since := p.last
		p.last = p.time("the time")
		if p.last < since {
			p.fail("%v is before the line above, at %v", p.last, since)
		}
		p.add(step{kind: stepBy, at: since, until: p.last, cond: p.condition()})
	case "from":
		since := p.time("the time")
		p.expect("to")
		p.add(step{kind: stepFrom, at: since, until: p.time("the end"), cond: p.condition()})
	case "always":
		p.add(step{kind: stepFrom, until: always, cond: p.condition()})
	case "repeat":
		p.open()
	case "end":
		p.end()
	default:
		p.fail("%q is no statement", w)
	}
}

// always is an end that does not come before the file's last line.
const always = 1 << 62

func (p *parser) add(s step) {
	s.line, s.text = p.line, p.text
	p.s.Steps = append(p.s.Steps, s)
}

func (p *parser) nodes() {
	if p.index != nil {
		p.fail("the nodes have been named already")
		return
	}
	p.index = map[string]int{}
	w := p.word("how many, or their names")
	if n, err := strconv.Atoi(w); err == nil && n > 0 {
		w = "n1-n" + w
	}
	for _, part := range strings.Split(w, ",") {
		for _, name := range p.span(part) {
			if _, twice := p.index[name]; twice || name == "" || name == "all" {
				p.fail("%q is no name for a node, or twice there", name)
				return
			}
			p.index[name] = len(p.s.Names)
			p.s.Names = append(p.s.Names, name)
		}
	}
	for i := range min(3, len(p.s.Names)) {
		p.s.Contacts.nodes = append(p.s.Contacts.nodes, i)
	}
}

// open begins a repeat.
func (p *parser) open() {
	if p.repeat != nil {
		p.fail("a repeat within another")
		return
	}
	r := &repeat{count: p.number("the number of rounds"), first: len(p.s.Steps)}
	if r.count > 10_000 {
		p.fail("more than 10,000 rounds")
	}
	p.expect("from")
	r.from = p.time("the beginning")
	p.expect("every")
	r.every = p.time("the distance")
	if p.accept("pick") {
		r.pick = p.word("a name")
		if _, taken := p.index[r.pick]; taken {
			p.fail("%q is a node's name", r.pick)
		}
		p.expect("of")
		r.of = p.who().nodes
		if p.err == nil && len(r.of) == 0 {
			p.fail("there is nobody to pick")
		}
		p.s.Picks = append(p.s.Picks, pick{from: r.of})
		p.picks = map[string]int{r.pick: len(p.s.Picks)}
	}
	p.repeat, p.last = r, 0
}

// end spells the rounds of a repeat out.
func (p *parser) end() {
	r := p.repeat
	if r == nil {
		p.fail("there is no repeat that it could end")
		return
	}
	block := slices.Clone(p.s.Steps[r.first:])
	p.s.Steps = p.s.Steps[:r.first]
	mould := len(p.s.Picks)
	for k := range r.count {
		drawn := 0
		if r.pick != "" {
			if k > 0 {
				p.s.Picks = append(p.s.Picks, pick{from: r.of, round: k})
			}
			drawn = len(p.s.Picks)
		}
		base := r.from + time.Duration(k)*r.every
		for _, s := range block {
			s.at += base
			if s.until < always {
				s.until += base
			}
			s.redraw(mould, drawn)
			p.s.Steps = append(p.s.Steps, s)
			p.last = max(p.last, s.at)
		}
	}
	p.repeat, p.picks = nil, nil
}

// redraw makes a step of a repeat mean the node that is drawn in one round.
func (s *step) redraw(mould, drawn int) {
	sets := []*set{&s.do.who, &s.do.whom, &s.cond.who, &s.cond.whom}
	if s.cond.at != nil {
		c := *s.cond.at
		s.cond.at = &c
		sets = append(sets, s.cond.at)
	}
	s.do.groups = slices.Clone(s.do.groups)
	for i := range s.do.groups {
		sets = append(sets, &s.do.groups[i])
	}
	for _, w := range sets {
		if w.pick == mould && mould > 0 {
			w.pick = drawn
		}
	}
}

func (p *parser) finish() {
	switch {
	case p.index == nil:
		p.fail("there are no nodes")
	case p.repeat != nil:
		p.fail("a repeat has no end")
	}
}
