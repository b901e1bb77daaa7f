package crdt

import (
	"fmt"
	"unicode/utf8"
)

// Value is what a reader sees of a state, with its types.
type Value struct {
	Type   Type         // 0: nothing is there
	Int    int64        // of a counter
	Flag   bool         // of a flag
	Text   []string     // a set's elements, a register's values (one if last-writer), sorted
	Fields []NamedValue // of a map, by type and then by name
}

// NamedValue is a field of a map. Fields of different types may have one name.
type NamedValue struct {
	Name  string
	Value Value
}

// Value reads the state.
func (s *State) Value() Value {
	if r := s.shown(); r != nil {
		return r.value()
	}
	return Value{}
}

// Read reads the state as a plain value; see Value.Plain.
func (s *State) Read() any { return s.Value().Plain() }

// Plain is the value for people and for JSON: nil for nothing, int64 for a
// counter, bool for a flag, a text for a last-writer register, []any of texts for
// a multi-value register or a set, map[string]any for a map. A text is a string
// if it is UTF-8 and a []byte if not. Fields of one map that share a name have
// their type added to it: "name:counter".
func (v Value) Plain() any {
	switch v.Type {
	case Counter:
		return v.Int
	case EnableWinsFlag, DisableWinsFlag:
		return v.Flag
	case LastWriter:
		return plainText(v.Text[0])
	case MultiValue, AddWinsSet, RemoveWinsSet:
		out := make([]any, len(v.Text))
		for i, x := range v.Text {
			out[i] = plainText(x)
		}
		return out
	case Map:
		return plainFields(v.Fields)
	}
	return nil
}

func plainText(s string) any {
	if utf8.ValidString(s) {
		return s
	}
	return []byte(s)
}

func plainFields(list []NamedValue) map[string]any {
	count := map[string]int{}
	for _, f := range list {
		count[f.Name]++
	}
	out := make(map[string]any, len(list))
	for _, f := range list {
		if count[f.Name] == 1 {
			out[f.Name] = f.Value.Plain()
		}
	}
	for _, f := range list {
		if count[f.Name] == 1 {
			continue
		}
		name := f.Name
		for taken := true; taken; _, taken = out[name] {
			name = fmt.Sprintf("%s:%s", name, f.Value.Type)
		}
		out[name] = f.Value.Plain()
	}
	return out
}
