package fabric

import (
	"strings"
	"unicode/utf8"

	"fulcrum.example/crux"
	pb "fulcrum.example/protos/lashup"
)

// ParseKey reads a key as people write it: elements joined by slashes. A
// backslash before a slash or a backslash makes it part of the element.
func ParseKey(s string) ([]string, error) {
	if s == "" {
		return nil, crux.Errorf("parse key", crux.Invalid, "the key is empty: want elements joined by /, as backends/web")
	}
	if !utf8.ValidString(s) {
		return nil, crux.Errorf("parse key", crux.Invalid, "key %q is no text: want UTF-8", s)
	}
	raw := splitElements(s)
	for i, e := range raw {
		if e == "" {
			return nil, crux.Errorf("parse key", crux.Invalid, "key %q has an empty element: want elements joined by /, as backends/web", s)
		}
		raw[i] = unquote(e)
	}
	return raw, nil
}

// FormatKey prints a key so that ParseKey reads it back.
func FormatKey(key []string) string {
	quoted := make([]string, len(key))
	for i, e := range key {
		quoted[i] = quoter.Replace(e)
	}
	return strings.Join(quoted, "/")
}

var quoter = strings.NewReplacer(`\`, `\\`, `/`, `\/`)

// splitElements cuts s at the slashes that no backslash quotes.
func splitElements(s string) (out []string) {
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++ // whatever comes is quoted
		case '/':
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

// unquote takes the backslashes off an element. One that quotes nothing stands
// for itself.
func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '\\' || s[i+1] == '/') {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Pattern selects keys: those with as many elements as it has globs, each
// matching its own; or, of a prefix, those whose first elements match. In a
// glob, * matches any run of characters, ? one, [a-z] one of them, and a
// backslash quotes.
type Pattern struct {
	Elements []string
	Prefix   bool
}

// Glob selects the keys whose elements match the globs one by one.
func Glob(globs ...string) Pattern { return Pattern{Elements: globs} }

// Prefix selects the keys that begin with these elements, which stand for
// themselves. Without any it selects every key.
func Prefix(elements ...string) Pattern {
	quoted := make([]string, len(elements))
	for i, e := range elements {
		quoted[i] = globQuoter.Replace(e)
	}
	return Pattern{quoted, true}
}

var globQuoter = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// ParsePattern reads a pattern as people write it: globs joined by slashes. If
// the last is **, the pattern is a prefix: a/** selects what begins with a.
func ParsePattern(s string) (Pattern, error) {
	if !utf8.ValidString(s) {
		return Pattern{}, crux.Errorf("parse pattern", crux.Invalid, "pattern %q is no text: want UTF-8", s)
	}
	elements := splitElements(s)
	p := Pattern{Elements: elements}
	if last := len(elements) - 1; elements[last] == "**" {
		p = Pattern{elements[:last], true}
	}
	for _, e := range p.Elements {
		if e == "" {
			return Pattern{}, crux.Errorf("parse pattern", crux.Invalid,
				"pattern %q has an empty element: want globs joined by /, as backends/*, or backends/** for all that begins so", s)
		}
		if strings.Contains(e, "**") && !strings.Contains(e, `\`) {
			return Pattern{}, crux.Errorf("parse pattern", crux.Invalid,
				"pattern %q has ** elsewhere than as its last element, where it stands for whatever follows: want * for a part of one element", s)
		}
	}
	return p, nil
}

// String prints the pattern so that ParsePattern reads it back.
func (p Pattern) String() string {
	e := p.Elements
	if p.Prefix {
		e = append(e[:len(e):len(e)], "**")
	}
	return strings.Join(e, "/")
}

func (p Pattern) wire() *pb.Pattern { return &pb.Pattern{Elements: p.Elements, Prefix: p.Prefix} }
