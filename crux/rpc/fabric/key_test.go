package fabric

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
)

func TestKeysReadBackAsTheyArePrinted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune(`ab/\*`)), 1, 4, -1), 1, 4).Draw(t, "key")
		got, err := ParseKey(FormatKey(key))
		if err != nil || !slices.Equal(got, key) {
			t.Fatalf("%q is printed as %q and read as %q, %v", key, FormatKey(key), got, err)
		}
	})
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "/", "a/", "/a", "a//b", "a\xff"} {
		if k, err := ParseKey(s); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%q is read as %q, %v", s, k, err)
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Pattern{
		"**": {nil, true}, "a": Glob("a"), "a/*/c": Glob("a", "*", "c"), "a/**": {[]string{"a"}, true}, `a\/b/*`: Glob(`a\/b`, "*"),
	} {
		got, err := ParsePattern(s)
		if err != nil || !slices.Equal(got.Elements, want.Elements) || got.Prefix != want.Prefix || got.String() != s {
			t.Errorf("%q is read as %+v (%s), %v", s, got, got, err)
		}
	}
	for _, s := range []string{"", "a//b", "a/", "/**", "**/a", "a**", "a/b**/**", "a\xff"} {
		if p, err := ParsePattern(s); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%q is read as %+v, %v", s, p, err)
		}
	}
	if p := Prefix("a*", "b[1]?"); !slices.Equal(p.Elements, []string{`a\*`, `b\[1]\?`}) || !p.Prefix {
		t.Errorf("a prefix is %+v", p)
	}
}

func TestValuesForPeople(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]*Value{
		"nothing": nil, `"nothing"`: {Type: TypeRegister, Bytes: []byte("nothing")}, "-3": {Type: TypeCounter, Count: -3}, `["a","b"]`: {Type: TypeAddWinsSet, Elements: []string{"a", "b"}},
		"true": {Type: TypeEnableWinsFlag, On: true}, "a <b>": {Type: TypeRegister, Bytes: []byte("a <b>")},
		`"a\nb"`: {Type: TypeRegister, Bytes: []byte("a\nb")}, `{"base64":"/w=="}`: {Type: TypeRegister, Bytes: []byte{255}},
		`{"n":1,"x:counter":2,"x:register":"y"}`: {Type: TypeMap, Fields: []Field{{"n", Value{Type: TypeCounter, Count: 1}},
			{"x", Value{Type: TypeCounter, Count: 2}}, {"x", Value{Type: TypeRegister, Bytes: []byte("y")}}}},
	} {
		if got := v.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
