package replica

import (
	"unicode/utf8"

	"fulcrum.example/crux"
)

// Pattern selects keys by a glob for each element. The zero Pattern selects all.
type Pattern struct {
	globs  []string
	exact  bool   // no elements after those of globs
	prefix string // what every encoded key that fits begins with
}

// NewPattern makes a pattern of globs for the elements of a key: * for any
// characters, also none, ? for any one, [a-z0] for one of a class, [^a-z] for one
// that is not, and \ before a character that is meant literally. With prefix,
// more elements may follow; an element "**" at the end says the same. Errors are
// of kind Invalid: a malformed glob, an empty element, more than MaxElements, or
// more than MaxKey bytes.
func NewPattern(elements []string, prefix bool) (Pattern, error) {
	const op = "read a pattern"
	if n := len(elements); n > 0 && elements[n-1] == "**" {
		elements, prefix = elements[:n-1], true
	}
	switch {
	case len(elements) > MaxElements:
		return Pattern{}, crux.Errorf(op, crux.Invalid, "the pattern has %d elements: %d are allowed", len(elements), MaxElements)
	case len(elements) == 0 && !prefix:
		return Pattern{}, crux.Errorf(op, crux.Invalid, `the pattern has no elements: no key has none, "**" selects all`)
	}
	p := Pattern{globs: append([]string(nil), elements...), exact: !prefix}
	literal, size, head := true, 0, []byte(nil)
	for i, g := range elements {
		if size += len(g); g == "" || size > MaxKey || !validGlob(g) {
			return Pattern{}, crux.Errorf(op, crux.Invalid, "element %d of the pattern, %q, is not a glob", i+1, g)
		}
		if s, ok := literalOf(g); literal && ok {
			head = appendElement(head, s)
		} else {
			literal = false
		}
	}
	p.prefix = string(head)
	return p, nil
}

// Match says whether the pattern selects a key.
func (p *Pattern) Match(key []string) bool {
	if len(key) < len(p.globs) || p.exact && len(key) > len(p.globs) {
		return false
	}
	for i, g := range p.globs {
		if !matchGlob(g, key[i]) {
			return false
		}
	}
	return true
}

// matchEncoded is Match of an encoded key that begins with the pattern's prefix.
func (p *Pattern) matchEncoded(key string) bool {
	for _, g := range p.globs {
		e, rest, ok := cutElement(key)
		if !ok || !matchGlob(g, e) {
			return false
		}
		key = rest
	}
	return !p.exact || key == ""
}

// literalOf is the only string that the glob fits, if there is only one.
func literalOf(g string) (string, bool) {
	out := make([]byte, 0, len(g))
	for i := 0; i < len(g); i++ {
		switch g[i] {
		case '*', '?', '[':
			return "", false
		case '\\':
			i++
		}
		out = append(out, g[i])
	}
	return string(out), true
}

func validGlob(g string) bool {
	if !utf8.ValidString(g) {
		return false
	}
	for g != "" {
		rest, ok := skipOne(g)
		if !ok {
			return false
		}
		g = rest
	}
	return true
}

// skipOne cuts the first term off a glob.
func skipOne(g string) (rest string, ok bool) {
	switch g[0] {
	case '\\':
		if len(g) == 1 {
			return "", false
		}
		g = g[1:]
	case '[':
		_, rest, ok := inClass(0, g)
		return rest, ok
	}
	_, n := utf8.DecodeRuneInString(g)
	return g[n:], true
}

// matchGlob matches without going back further than to the last star, which is
// enough.
func matchGlob(g, s string) bool {
	starG, starS, starred := "", "", false
	for s != "" || g != "" {
		if g != "" && g[0] == '*' {
			g, starG, starS, starred = g[1:], g[1:], s, true
			continue
		}
		if g != "" && s != "" {
			r, n := utf8.DecodeRuneInString(s)
			if rest, ok := matchOne(g, r); ok {
				g, s = rest, s[n:]
				continue
			}
		}
		if !starred || starS == "" {
			return false
		}
		_, n := utf8.DecodeRuneInString(starS)
		starS = starS[n:]
		g, s = starG, starS
	}
	return true
}

// matchOne matches one character with the first term of a glob, which is not a
// star.
func matchOne(g string, r rune) (rest string, ok bool) {
	switch g[0] {
	case '?':
		return g[1:], true
	case '[':
		in, rest, _ := inClass(r, g)
		return rest, in
	case '\\':
		g = g[1:]
	}
	want, n := utf8.DecodeRuneInString(g)
	return g[n:], want == r
}

// inClass reads the class that g begins with. ok is false if it is malformed.
func inClass(r rune, g string) (in bool, rest string, ok bool) {
	g = g[1:]
	not := g != "" && g[0] == '^'
	if not {
		g = g[1:]
	}
	for first := true; ; first = false {
		if g == "" {
			return false, "", false
		}
		if g[0] == ']' && !first {
			return in != not, g[1:], true
		}
		lo, after, ok := classRune(g)
		if !ok {
			return false, "", false
		}
		hi := lo
		if after != "" && after[0] == '-' {
			if hi, after, ok = classRune(after[1:]); !ok || hi < lo {
				return false, "", false
			}
		}
		in = in || lo <= r && r <= hi
		g = after
	}
}

func classRune(g string) (rune, string, bool) {
	switch {
	case g == "" || g[0] == '-' || g[0] == ']':
		return 0, "", false
	case g[0] == '\\':
		if g = g[1:]; g == "" {
			return 0, "", false
		}
	}
	r, n := utf8.DecodeRuneInString(g)
	return r, g[n:], true
}
