package fabric

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	pb "fulcrum.example/protos/lashup"
)

// Type says what a key or a field of a map holds.
type Type uint8

// The types. Of concurrent operations that contradict each other, an add beats a
// remove in an AddWinsSet and an enabling a disabling in an EnableWinsFlag; in
// their opposites it is the other way round.
const (
	None Type = iota
	TypeCounter
	TypeAddWinsSet
	TypeRemoveWinsSet
	TypeMap
	TypeEnableWinsFlag
	TypeDisableWinsFlag
	TypeRegister      // the last writer's value
	TypeMultiRegister // the values of all writers that did not know of each other
)

var typeNames = [...]string{"nothing", "counter", "set", "remove-wins-set", "map", "flag", "disable-wins-flag", "register", "multi-register"}

// String gives the type's name.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "type " + strconv.Itoa(int(t))
}

// MarshalText makes the type readable in JSON.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Value is what a key or a field holds. Which of its parts counts depends on
// Type: Count of a counter, Elements (sorted) of sets and of a multi-value
// register, On of flags, Bytes of a register, Fields of a map.
type Value struct {
	Type     Type
	Count    int64
	Elements []string
	On       bool
	Bytes    []byte
	Fields   []Field // by name, then by type
}

// Field is one field of a map's value.
type Field struct {
	Name  string
	Value Value
}

// valueFrom reads a value; nil for none.
func valueFrom(m *pb.Value) *Value {
	if m == nil {
		return nil
	}
	v := &Value{Type: Type(m.GetType()), Count: m.GetCount(), On: m.GetOn(), Bytes: m.GetBytes()}
	for _, e := range m.GetElements() {
		v.Elements = append(v.Elements, string(e))
	}
	for _, f := range m.GetFields() {
		if inner := valueFrom(f.GetValue()); inner != nil {
			v.Fields = append(v.Fields, Field{f.GetName(), *inner})
		}
	}
	return v
}

// Field finds the field of a map by name and type; nil if there is none.
func (v *Value) Field(name string, t Type) *Value {
	if v == nil {
		return nil
	}
	for i := range v.Fields {
		if f := &v.Fields[i]; f.Name == name && f.Value.Type == t {
			return &f.Value
		}
	}
	return nil
}

// Any gives the value as encoding/json prints it best: a number, a bool, a
// string, a list of strings, or a map. Bytes that are no text become
// {"base64": …}; fields of one name and several types get the type behind a
// colon.
func (v *Value) Any() any {
	if v == nil {
		return nil
	}
	switch v.Type {
	case TypeCounter:
		return v.Count
	case TypeAddWinsSet, TypeRemoveWinsSet, TypeMultiRegister:
		out := make([]any, len(v.Elements))
		for i, e := range v.Elements {
			out[i] = textOrBase64(e)
		}
		return out
	case TypeEnableWinsFlag, TypeDisableWinsFlag:
		return v.On
	case TypeRegister:
		return textOrBase64(string(v.Bytes))
	case TypeMap:
		out := make(map[string]any, len(v.Fields))
		for i := range v.Fields {
			f := &v.Fields[i]
			name := f.Name
			if v.ambiguous(name) {
				name += ":" + f.Value.Type.String()
			}
			out[name] = f.Value.Any()
		}
		return out
	}
	return nil
}

func (v *Value) ambiguous(name string) bool {
	n := 0
	for i := range v.Fields {
		if v.Fields[i].Name == name {
			n++
		}
	}
	return n > 1
}

func textOrBase64(s string) any {
	if utf8.ValidString(s) {
		return s
	}
	return map[string]string{"base64": base64.StdEncoding.EncodeToString([]byte(s))}
}

// nothing is how the value of a key that is not there is printed.
const nothing = "nothing"

// String prints the value on one line, for people: a register's text as it is, if it
// can be taken for nothing else, the rest as JSON.
func (v *Value) String() string {
	switch {
	case v == nil:
		return nothing
	case v.Type == TypeRegister && utf8.Valid(v.Bytes) && string(v.Bytes) != nothing && !slices.ContainsFunc([]rune(string(v.Bytes)), unprintable):
		return string(v.Bytes)
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v.Any()); err != nil { // it holds nothing that JSON has not
		return fmt.Sprint(v.Any())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func unprintable(r rune) bool { return r != '\t' && !strconv.IsPrint(r) }

// MarshalJSON prints what Any gives.
func (v *Value) MarshalJSON() ([]byte, error) { return json.Marshal(v.Any()) }
