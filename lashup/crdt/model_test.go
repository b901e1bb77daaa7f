package crdt

import (
	"maps"
	"slices"
	"strings"
)

// The model keeps every effect of every operation with the set of effects that
// its writer had seen, and computes values from the definition: an effect is alive
// unless one that replaces or removes it was made by someone who had seen it.

// effect is what an operation does in one place.
type effect struct {
	path   string // of the place: segments of type and name, each ended by a slash
	typ    Type
	writer Actor
	dot    Dot // zero if it erases
	at     Timestamp
	n      int64
	on     bool   // of flags, and of elements: added
	text   string // of registers
	erases bool   // nothing comes: a removal of all at or below path
	seen   ids    // what its writer had seen
}

// ids is a set of effects by number.
type ids []uint64

func (s ids) has(i int) bool { return i/64 < len(s) && s[i/64]>>(i%64)&1 == 1 }

func (s *ids) add(i int) {
	for len(*s) <= i/64 {
		*s = append(*s, 0)
	}
	(*s)[i/64] |= 1 << (i % 64)
}

func (s *ids) union(o ids) {
	for len(*s) < len(o) {
		*s = append(*s, 0)
	}
	for i, w := range o {
		(*s)[i] |= w
	}
}

func (s ids) covers(o ids) bool {
	for i, w := range o {
		if i >= len(s) && w != 0 || i < len(s) && w&^s[i] != 0 {
			return false
		}
	}
	return true
}

type model struct{ effects []*effect }

func segment(t Type, name string) string { return string(rune('0'+t)) + name + "/" }

// write takes down the effects of op and returns their numbers.
func (m *model) write(op *Op, dot Dot, at Timestamp, seen ids) ids {
	seen = slices.Clone(seen)
	from, writer := len(m.effects), dot.Actor
	m.put(op, "", &dot, at, seen)
	var own ids
	for i := from; i < len(m.effects); i++ {
		m.effects[i].writer = writer
		own.add(i)
	}
	return own
}

func (m *model) put(op *Op, prefix string, dot *Dot, at Timestamp, seen ids) {
	if op.kind == opReset {
		m.effects = append(m.effects, &effect{path: prefix, erases: true, seen: seen})
		return
	}
	here := prefix + segment(op.typ, "")
	if prefix != "" {
		here = prefix // the field's own segment has the type
	}
	effects := func(e effect) {
		e.typ, e.at, e.seen = op.typ, at, seen
		if !e.erases {
			e.dot = *dot
			dot.Seq++
		}
		m.effects = append(m.effects, &e)
	}
	switch op.kind {
	case opIncr:
		effects(effect{path: here, n: op.n})
	case opFlag:
		effects(effect{path: here, on: op.on})
	case opAssign:
		effects(effect{path: here, text: op.value})
	case opSet:
		for _, x := range op.add {
			effects(effect{path: here + segment(0, x), on: true})
		}
		for _, x := range op.remove {
			effects(effect{path: here + segment(0, x), erases: op.typ == AddWinsSet})
		}
	case opUpdate:
		for i := range op.fields {
			f := &op.fields[i]
			m.put(&f.Op, here+segment(f.Type, f.Name), dot, at, seen)
		}
	}
}

// replaces says whether e takes the place of f, if its writer had seen f.
func (e *effect) replaces(f *effect) bool {
	if e.erases {
		return strings.HasPrefix(f.path, e.path)
	}
	return e.path == f.path && e.typ != Counter
}

// alive gives the effects of set that nothing in it replaced.
func (m *model) alive(set ids) (out []*effect) {
	for i, f := range m.effects {
		if f.erases || !set.has(i) {
			continue
		}
		dead := false
		for k, e := range m.effects {
			dead = dead || set.has(k) && e.seen.has(i) && e.replaces(f)
		}
		if !dead {
			out = append(out, f)
		}
	}
	return out
}

// closed says whether all that writers of effects in set had seen is in it too.
func (m *model) closed(set ids) bool {
	for i, e := range m.effects {
		if set.has(i) && !set.covers(e.seen) {
			return false
		}
	}
	return true
}

// value is what a reader of set sees.
func (m *model) value(set ids) Value {
	roots := m.level(m.alive(set), "")
	if len(roots) == 0 {
		return Value{}
	}
	return roots[0].Value
}

// level gives the visible values right below prefix, sorted by type and name.
func (m *model) level(alive []*effect, prefix string) (out []NamedValue) {
	below := map[string][]*effect{}
	for _, e := range alive {
		if rest, ok := strings.CutPrefix(e.path, prefix); ok && rest != "" {
			head, _, _ := strings.Cut(rest, "/")
			below[head] = append(below[head], e)
		}
	}
	for _, head := range slices.Sorted(maps.Keys(below)) {
		t, name := Type(head[0]-'0'), head[1:]
		if v, ok := m.read(t, below[head], prefix+head+"/"); ok {
			out = append(out, NamedValue{name, v})
		}
	}
	return out
}

func (m *model) read(t Type, es []*effect, path string) (Value, bool) {
	v := Value{Type: t}
	switch t {
	case Counter:
		for _, e := range es {
			v.Int += e.n
		}
	case EnableWinsFlag:
		v.Flag = slices.ContainsFunc(es, func(e *effect) bool { return e.on })
	case DisableWinsFlag:
		v.Flag = !slices.ContainsFunc(es, func(e *effect) bool { return !e.on })
	case AddWinsSet, RemoveWinsSet:
		out := map[string]bool{}
		for _, e := range es {
			if in, ok := out[e.path]; !ok || in {
				out[e.path] = e.on
			}
		}
		for p, in := range out {
			if in {
				v.Text = append(v.Text, strings.TrimSuffix(p[len(path)+1:], "/"))
			}
		}
		slices.Sort(v.Text)
		return v, len(v.Text) > 0
	case LastWriter:
		best := es[0]
		for _, e := range es {
			if e.at > best.at || e.at == best.at && e.dot.Compare(best.dot) > 0 {
				best = e
			}
		}
		v.Text = []string{best.text}
	case MultiValue:
		for _, e := range es {
			v.Text = append(v.Text, e.text)
		}
		slices.Sort(v.Text)
		v.Text = slices.Compact(v.Text)
	case Map:
		v.Fields = m.level(es, path)
		return v, len(v.Fields) > 0
	}
	return v, true
}
