package crux

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestInstReadsBothFormsAndPrintsOne(t *testing.T) {
	for in, want := range map[string]Inst{
		"galumph2_3": "galumph2_3", "galumph2.3": "galumph2_3", "ntp2_7_1": "ntp2_7_1", "a-b9_0": "a-b9_0",
	} {
		if got, err := ParseInst(in); err != nil || got != want {
			t.Errorf("ParseInst(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "galumph", "galumph2", "2_3", "Galumph2_3", "galumph2_", "galumph2_x", "galumph_3", "galumph2_3 ", "g2_9999999999"} {
		if got, err := ParseInst(in); KindOf(err) != Invalid {
			t.Errorf("ParseInst(%q) = %q, %v; want an error of kind invalid", in, got, err)
		}
	}
}

func TestInstKnowsItsAPI(t *testing.T) {
	if got := Inst("galumph2_3").API(); got != "galumph2" {
		t.Errorf("got %q", got)
	}
}

func TestVersionsCompareNumberByNumber(t *testing.T) {
	want := []Inst{"a9_1", "ntp2_3", "ntp2_9", "ntp2_9_1", "ntp2_10", "ntp2_010_2", "ntp2_100", "ntp10_1", "zed1_0"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, Inst.Compare)
	if !slices.Equal(got, want) {
		t.Errorf("sorted: %v; want %v", got, want)
	}
	if Inst("ntp2_9").Compare("ntp2_09") != 0 {
		t.Error("a leading zero changed a number's value")
	}
}

func genInst(t *rapid.T, name string) Inst {
	return Inst(rapid.StringMatching(`[a-c][a-z]?[0-9]{1,2}(_[0-9]{1,3}){1,3}`).Draw(t, name))
}

func TestVersionOrderIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := genInst(t, "a"), genInst(t, "b"), genInst(t, "c")
		if a.Compare(b) != -b.Compare(a) {
			t.Fatalf("%s and %s: not antisymmetric", a, b)
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatalf("%s, %s, %s: not transitive", a, b, c)
		}
		if p, err := ParseInst(string(a)); err != nil || p != a {
			t.Fatalf("%s read back as %s, %v", a, p, err)
		}
	})
}

func TestSelectorRoundTrip(t *testing.T) {
	id := NodeID{1, 2, 3}
	for in, want := range map[string]Selector{
		"galumph2":                  {Horde: DefaultHorde, API: "galumph2"},
		"galumph2.3":                {Horde: DefaultHorde, API: "galumph2", Inst: "galumph2_3"},
		"web/galumph2":              {Horde: "web", API: "galumph2"},
		"web/ntp2_3@" + id.String(): {Horde: "web", API: "ntp2", Inst: "ntp2_3", Node: id},
	} {
		got, err := ParseSelector(in)
		if err != nil || got != want {
			t.Errorf("ParseSelector(%q) = %+v, %v; want %+v", in, got, err, want)
		}
		if again, err := ParseSelector(got.String()); err != nil || again != got {
			t.Errorf("%q printed as %q, which reads as %+v, %v", in, got.String(), again, err)
		}
	}
	for _, in := range []string{"", "/", "web/", "/galumph2", "galumph2@", "galumph2@xyz", "We b/galumph2", "a/b/galumph2", "galumph"} {
		if _, err := ParseSelector(in); KindOf(err) != Invalid {
			t.Errorf("ParseSelector(%q): %v; want an error of kind invalid", in, err)
		}
	}
}

func TestSelectorMatches(t *testing.T) {
	r := Row{Node: NodeID{1}, Horde: "web", API: "a1", Inst: "a1_2"}
	for sel, want := range map[Selector]bool{
		{}:                          true,
		{Horde: "web", API: "a1"}:   true,
		{Horde: "other", API: "a1"}: false,
		{API: "a1", Inst: "a1_2"}:   true,
		{API: "a1", Inst: "a1_3"}:   false,
		{Node: NodeID{1}}:           true,
		{Node: NodeID{2}}:           false,
	} {
		if got := sel.Matches(&r); got != want {
			t.Errorf("%+v matches: %v, want %v", sel, got, want)
		}
	}
}

func BenchmarkInstCompare(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Inst("galumph2_9").Compare("galumph2_10")
	}
}

func FuzzParseSelector(f *testing.F) {
	f.Add("web/galumph2_3@0102030405060708")
	f.Fuzz(func(t *testing.T, s string) {
		sel, err := ParseSelector(s)
		if err != nil {
			return
		}
		if again, err := ParseSelector(sel.String()); err != nil || again != sel {
			t.Fatalf("%q: %+v printed as %q read as %+v, %v", s, sel, sel.String(), again, err)
		}
	})
}
