package replica

import (
	"path"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
)

var anyElement = rapid.Custom(func(t *rapid.T) string {
	return rapid.StringOfN(rapid.SampledFrom([]rune{'a', 'b', 0, 1, 'é', '*', '\\', 0x10ffff}), 1, 6, 40).Draw(t, "element")
})

var anyKey = rapid.SliceOfN(anyElement, 1, 5)

func TestKeysSortAsTheirElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyKey.Draw(t, "a"), anyKey.Draw(t, "b")
		x, err := EncodeKey(a)
		if err != nil {
			t.Fatal(err)
		}
		y, err := EncodeKey(b)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Compare(x, y), slices.Compare(a, b); got != want {
			t.Fatalf("%q and %q compare as %d, their elements as %d", x, y, got, want)
		}
		back, err := DecodeKey(x)
		if err != nil || !slices.Equal(back, a) || !validKey(x) {
			t.Fatalf("%q comes back as %q, %v", a, back, err)
		}
		if len(a) <= len(b) && slices.Equal(a, b[:len(a)]) && !strings.HasPrefix(y, x) {
			t.Fatalf("%q is a prefix of %q, but not encoded", a, b)
		}
	})
}

func TestWhatIsNoKey(t *testing.T) {
	long := strings.Repeat("x", MaxKey)
	for name, key := range map[string][]string{
		"no elements":     {},
		"empty element":   {"a", ""},
		"not UTF-8":       {"a\xff"},
		"too many":        slices.Repeat([]string{"a"}, MaxElements+1),
		"too long":        {long},
		"zero bytes":      {strings.Repeat("\x00", MaxKey/2)},
		"long in the sum": {long[:MaxKey/2], long[:MaxKey/2]},
	} {
		if _, err := EncodeKey(key); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := EncodeKey([]string{long[1:]}); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"", "a", "\x00", "a\x00\x00", "a\x00\xff", "\xff\x00", strings.Repeat("a\x00", MaxElements+1), long + "\x00"} {
		if _, err := DecodeKey(s); err == nil || validKey(s) {
			t.Errorf("%q is read as a key", s)
		}
	}
}

func TestPlaces(t *testing.T) {
	id := testID(1)
	for _, c := range []struct {
		key      []string
		owner    crux.NodeID
		volatile bool
		ok       bool
	}{
		{[]string{"a"}, crux.NodeID{}, false, true},
		{[]string{"a", id.String(), "x"}, crux.NodeID{}, false, true},
		{[]string{"nodes", "x"}, crux.NodeID{}, false, true},
		{[]string{"node"}, crux.NodeID{}, false, false},
		{[]string{"node", id.String()}, crux.NodeID{}, false, false},
		{[]string{"node", "me", "x"}, crux.NodeID{}, false, false},
		{[]string{"node", strings.ToUpper(id.String()), "x"}, crux.NodeID{}, false, false},
		{[]string{"node", crux.NodeID{}.String(), "x"}, crux.NodeID{}, false, false},
		{testKey(id, "x"), id, false, true},
		{testKey(id, "x", "volatile"), id, false, true},
		{testKey(id, "volatile", "x"), id, true, true},
		{testKey(id, "volatile"), id, true, false},
	} {
		enc, err := EncodeKey(c.key)
		if err != nil {
			t.Fatal(err)
		}
		p, ok := placeOf(enc)
		if ok != c.ok || ok && p != (place{c.owner, c.volatile}) {
			t.Errorf("%q: %+v, %v", c.key, p, ok)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, key string
		want         bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/b/c", false},
		{"a/b", "a", false},
		{"a/*", "a/b", true},
		{"a/*", "a/b/c", false},
		{"a/**", "a", true},
		{"a/**", "a/b/c", true},
		{"a/**", "ab/c", false},
		{"**", "a", true},
		{"*/b", "x/b", true},
		{"x*y?/z", "xaby1/z", true},
		{"[a-c]x/[^0-9]", "bx/q", true},
		{"[a-c]x/[^0-9]", "bx/7", false},
		{`\*/\[`, "*/[", true},
		{`\*`, "x", false},
		{"é?", "éü", true},
	} {
		p, err := NewPattern(strings.Split(c.pattern, "/"), false)
		if err != nil {
			t.Fatal(err)
		}
		key := strings.Split(c.key, "/")
		enc, err := EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(key); got != c.want || p.fits(enc) != c.want {
			t.Errorf("%q matches %q: %v, encoded %v", c.pattern, c.key, got, p.fits(enc))
		}
	}
	for _, list := range [][]string{{}, {""}, {"["}, {"[a"}, {"[]"}, {"[b-a]"}, {`a\`}, {"\xff"}, slices.Repeat([]string{"*"}, MaxElements+1)} {
		if _, err := NewPattern(list, false); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%q: %v", list, err)
		}
	}
	if _, err := NewPattern(nil, true); err != nil {
		t.Error(err)
	}
}

// What path.Match takes for a pattern, a glob takes too and matches alike.
func TestGlobsMatchAsPathMatch(t *testing.T) {
	letters := rapid.SampledFrom([]rune{'a', 'b', 'c', 'é', '*', '?', '[', ']', '^', '-', '\\'})
	rapid.Check(t, func(t *rapid.T) {
		g := rapid.StringOfN(letters, 1, 8, -1).Draw(t, "glob")
		s := rapid.StringOfN(letters, 1, 8, -1).Draw(t, "text")
		want, err := path.Match(g, s)
		p, mine := NewPattern([]string{g}, false)
		if (err == nil) != (mine == nil) {
			// path.Match does not look at all of a glob that it need not.
			if err == nil || g == "**" {
				return
			}
			t.Fatalf("%q: path.Match says %v, NewPattern %v", g, err, mine)
		}
		if err == nil && g != "**" && p.Match([]string{s}) != want {
			t.Fatalf("%q matches %q: want %v", g, s, want)
		}
	})
}

func FuzzDecodeKey(f *testing.F) {
	f.Add("a\x00b\x00")
	f.Add("a\x00\xff\x00")
	f.Fuzz(func(t *testing.T, s string) {
		key, err := DecodeKey(s)
		if (err == nil) != validKey(s) {
			t.Fatalf("%q: %v, valid %v", s, err, validKey(s))
		}
		if err != nil {
			return
		}
		if back, err := EncodeKey(key); err != nil || back != s {
			t.Fatalf("%q is encoded as %q, %v", key, back, err)
		}
	})
}
