package sim

import "slices"

var (
	plain  = []string{"start", "restart", "kill", "crash", "hang", "resume", "leave", "evict", "replace"}
	whys   = []string{"dead", "hung", "asymmetric", "left", "closed", "unreachable"}
	states = []string{"alive", "dead", "hung", "asymmetric", "left", "isolated", "unknown"}
)

// action reads an ACTION.
func (p *parser) action() (a action) {
	a.verb = p.word("an action")
	switch a.verb {
	case "cut", "mend":
		a.who = p.who()
		a.both = p.arrow()
		a.whom = p.who()
	case "move", "check":
		a.who, a.whom = p.who(), p.who()
	case "split":
		a.groups = append(a.groups, p.who())
		for p.more() {
			p.expect("|")
			a.groups = append(a.groups, p.who())
		}
	case "heal":
	case "lossy":
		a.who, a.part = p.who(), p.percent()
	case "publish":
		p.publish(&a)
	case "incr":
		a.name = p.word("a key")
		p.expect("by")
		a.who = p.who()
	default:
		if p.err == nil && !slices.Contains(plain, a.verb) {
			p.fail("%q is no action", a.verb)
		}
		a.who = p.who()
	}
	return a
}

// arrow eats > or |, and says whether it means both ways.
func (p *parser) arrow() bool {
	if p.accept("|") {
		return true
	}
	p.expect(">")
	return false
}

func (p *parser) publish(a *action) {
	a.name = p.word("a name")
	p.expect("by")
	a.who, a.count = p.who(), 1
	if p.accept("to") {
		a.whom = p.who()
	}
	if p.accept("fanout") {
		a.count = p.number("the number of copies")
	}
}

// condition reads a CONDITION.
func (p *parser) condition() (c condition) {
	c.not = p.accept("not")
	c.what = p.word("a condition")
	switch c.what {
	case "up":
		c.who = p.who()
		p.asked(&c)
	case "down":
		c.who = p.who()
		if p.accept("as") {
			c.word = p.oneOf(whys)
		}
		p.asked(&c)
	case "got":
		c.word = p.word("a name")
		p.asked(&c)
	case "total":
		c.word = p.word("a key")
		c.n = p.number("the value")
		p.asked(&c)
	case "components":
		c.n = p.number("how many")
	case "overlay":
	case "isolated":
		c.who = p.who()
	case "checked":
		c.who, c.whom, c.word = p.who(), p.who(), p.oneOf(states)
	case "cut":
		c.who, c.whom, c.word = p.who(), p.who(), p.oneOf(whys)
	default:
		p.fail("%q is no condition", c.what)
	}
	return c
}

func (p *parser) asked(c *condition) {
	if p.accept("at") {
		w := p.who()
		c.at = &w
	}
}

func (p *parser) oneOf(words []string) string {
	w := p.word("a word")
	if p.err == nil && !slices.Contains(words, w) {
		p.fail("%q is none of %v", w, words)
	}
	return w
}
