package crux

import (
	"regexp"
	"strings"
)

// API names one wire protocol: a service name and its major version, such as
// "galumph2". Every instance version of an API speaks the same protocol.
type API string

// Inst names an instance version of an API: the API and one or more numbers,
// such as "galumph2_3". The canonical form joins the numbers by underscores;
// ParseInst also reads the dotted form ("galumph2.3").
type Inst string

var (
	apiRE  = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z-])?[0-9]{1,9}$`)
	instRE = regexp.MustCompile(`^([a-z](?:[a-z0-9-]*[a-z-])?[0-9]{1,9})((?:[_.][0-9]{1,9})+)$`)
)

const maxVersionName = 128

// ParseAPI reads an API such as "galumph2".
func ParseAPI(s string) (API, error) {
	if len(s) > maxVersionName || !apiRE.MatchString(s) {
		return "", Errorf("parse api", Invalid, "%q is not an API: want a lower-case name and a major version, as galumph2", s)
	}
	return API(s), nil
}

// ParseInst reads an instance version, "galumph2_3" or "galumph2.3", and
// returns the form with underscores.
func ParseInst(s string) (Inst, error) {
	m := instRE.FindStringSubmatch(s)
	if m == nil || len(s) > maxVersionName {
		return "", Errorf("parse inst", Invalid, "%q is not an instance version: want an API and a version, as galumph2_3", s)
	}
	return Inst(m[1] + strings.ReplaceAll(m[2], ".", "_")), nil
}

// API returns the API that i is a version of. An Inst that did not come from
// ParseInst may have none.
func (i Inst) API() API {
	a, _, _ := strings.Cut(string(i), "_")
	return API(a)
}

// Compare orders instance versions: first by API name, then number by number,
// so that 2_9 < 2_10. A version that is the other's beginning is the lesser.
// It does not allocate.
func (i Inst) Compare(o Inst) int {
	a, ra, _ := strings.Cut(string(i), "_")
	b, rb, _ := strings.Cut(string(o), "_")
	if c := compareAPI(a, b); c != 0 {
		return c
	}
	for ra != "" && rb != "" {
		var x, y string
		x, ra, _ = strings.Cut(ra, "_")
		y, rb, _ = strings.Cut(rb, "_")
		if c := compareNumber(x, y); c != 0 {
			return c
		}
	}
	switch {
	case ra != "":
		return 1
	case rb != "":
		return -1
	}
	return 0
}

// compareAPI orders API names by their letters and then by major version.
func compareAPI(a, b string) int {
	na, nb := strings.TrimRight(a, "0123456789"), strings.TrimRight(b, "0123456789")
	if c := strings.Compare(na, nb); c != 0 {
		return c
	}
	return compareNumber(a[len(na):], b[len(nb):])
}

// compareNumber orders two runs of decimal digits by value.
func compareNumber(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		if len(a) < len(b) {
			return -1
		}
		return 1
	}
	return strings.Compare(a, b)
}

// Selector says which service a client wants: every instance of an API, of
// which the greatest version is preferred, or one exact instance; in one horde;
// on one node, if Node is not zero.
type Selector struct {
	Horde Horde
	API   API
	Inst  Inst // empty: any version of API
	Node  NodeID
}

// ParseSelector reads [HORDE/]API[@NODE] or [HORDE/]INST[@NODE].
func ParseSelector(s string) (Selector, error) {
	bad := func(why string) (Selector, error) {
		return Selector{}, Errorf("parse selector", Invalid,
			"malformed selector %q: %s; want [HORDE/]API or [HORDE/]INST, each with @NODE if wanted, as galumph2, galumph2_3 or web/galumph2", s, why)
	}
	sel := Selector{Horde: DefaultHorde}
	rest := s
	if h, r, ok := strings.Cut(rest, "/"); ok {
		if !ValidName(h) {
			return bad("the horde's name is not valid")
		}
		sel.Horde, rest = Horde(h), r
	}
	if r, n, ok := strings.Cut(rest, "@"); ok {
		id, err := ParseNodeID(n)
		if err != nil {
			return bad("the node's ID is not 16 hex digits")
		}
		sel.Node, rest = id, r
	}
	if a, err := ParseAPI(rest); err == nil {
		sel.API = a
		return sel, nil
	}
	i, err := ParseInst(rest)
	if err != nil {
		return bad("it names neither an API nor an instance version")
	}
	sel.Inst, sel.API = i, i.API()
	return sel, nil
}

// String prints the selector so that ParseSelector reads it back.
func (s Selector) String() string {
	var b strings.Builder
	if s.Horde != DefaultHorde && s.Horde != "" {
		b.WriteString(string(s.Horde) + "/")
	}
	if s.Inst != "" {
		b.WriteString(string(s.Inst))
	} else {
		b.WriteString(string(s.API))
	}
	if !s.Node.IsZero() {
		b.WriteString("@" + s.Node.String())
	}
	return b.String()
}

// Matches says whether a row is one that the selector asks for. An empty API
// matches every API, an empty Horde every horde.
func (s Selector) Matches(r *Row) bool {
	return (s.Horde == "" || s.Horde == r.Horde) &&
		(s.API == "" || s.API == r.API) &&
		(s.Inst == "" || s.Inst == r.Inst) &&
		(s.Node.IsZero() || s.Node == r.Node)
}
