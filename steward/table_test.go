package steward_test

import (
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/steward"
)

func TestEqualOrEarlierWordsChangeNothing(t *testing.T) {
	t.Parallel()
	tab, s := steward.New(t0), newSpeaker(1)
	first := s.put("galumph2_3", 1, crux.Starting)
	second := s.put("galumph2_3", 1, crux.Serving)
	if !tab.Apply(t0, second, 0) {
		t.Fatal("a new row changed nothing")
	}
	if tab.Apply(t0, second, 0) || tab.Apply(t0, first, 0) {
		t.Error("an equal or an earlier row changed something")
	}
	if !tab.Knows(&first) || !tab.Knows(&second) {
		t.Error("the table does not know the rows that it would refuse")
	}
	later := s.put("galumph2_3", 1, crux.Draining)
	if tab.Knows(&later) || !tab.Apply(t0, later, 0) {
		t.Error("the later word was refused")
	}
	tab.Publish()
	if got := tab.Find(crux.Selector{Horde: crux.DefaultHorde, API: "galumph2"}); len(got) != 1 || got[0].Status != crux.Draining {
		t.Errorf("the table shows %q", show(got))
	}
}

func TestWithdrawnRowDoesNotComeBack(t *testing.T) {
	t.Parallel()
	for name, remembered := range map[string]time.Duration{"at once": 0, "long after": 24 * time.Hour} {
		tab, s := steward.New(t0), newSpeaker(1)
		now := t0
		row := s.put("galumph2_3", 1, crux.Serving)
		tab.Apply(now, row, 0)
		tab.Apply(now, s.put("galumph2_3", 1, crux.Gone), 0)
		for end := now.Add(remembered); now.Before(end); now = now.Add(10 * time.Second) {
			tab.Expire(now)
			tab.Digest(now, s.digest(), 0)
		}
		if tab.Apply(now, row, 0) {
			t.Errorf("%s, a copy of a withdrawn row was taken in", name)
		}
		wantRows(t, tab, 0)
	}
}

func TestDigestRenewsAllRowsOfItsOwner(t *testing.T) {
	t.Parallel()
	tab, s, dead := steward.New(t0), newSpeaker(1), newSpeaker(2)
	for port := range 3 {
		tab.Apply(t0, s.put("galumph2_3", port, crux.Serving), 0)
		tab.Apply(t0, dead.put("galumph2_3", port, crux.Serving), 0)
	}
	now := t0.Add(20 * time.Second)
	if got := tab.Digest(now, s.digest(), 0); got != steward.Renewed {
		t.Fatalf("outcome %v, want renewed", got)
	}
	now = now.Add(11 * time.Second)
	if gone := tab.Expire(now); len(gone) != 3 || gone[0].Node != dead.id {
		t.Errorf("what ended: %v, want the three of the node that did not renew", gone)
	}
	wantRows(t, tab, 3)
	now = t0.Add(50 * time.Second)
	tab.Expire(now)
	wantRows(t, tab, 0)
}

func TestDeadNodesRowsAreNotRaisedByOldWords(t *testing.T) {
	t.Parallel()
	tab, s := steward.New(t0), newSpeaker(1)
	row := s.put("galumph2_3", 1, crux.Serving)
	tab.Apply(t0, row, 0)
	d := s.digest()
	tab.Digest(t0, d, 0)
	after := s.put("galumph2_3", 2, crux.Serving)
	tab.Apply(t0, after, 0)
	now := t0.Add(ttl)
	tab.Expire(now)
	if tab.Apply(now, row, 0) || tab.Apply(now, after, 0) || tab.Digest(now, d, 0) != steward.Stale {
		t.Error("a row whose lease had ended came back by an old word")
	}
	if _, ok := tab.Full(now, d, 0, []crux.Row{row}); ok {
		t.Error("a full set of an old digest brought back what had ended")
	}
	// The owner itself can: it lives after all.
	if _, ok := tab.Full(now, s.digest(), 0, s.full()); !ok {
		t.Error("the owner's newer digest was refused")
	}
	wantRows(t, tab, 2)
}

func TestFullSetDropsWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	tab, s := steward.New(t0), newSpeaker(1)
	tab.Apply(t0, s.put("galumph2_3", 1, crux.Serving), 0)
	tab.Apply(t0, s.put("galumph2_3", 2, crux.Serving), 0)
	s.put("galumph2_3", 1, crux.Gone) // lost on its way
	s.put("galumph2_4", 3, crux.Serving)
	d := s.digest()
	if got := tab.Digest(t0, d, 0); got != steward.Mismatch {
		t.Fatalf("outcome %v, want a mismatch", got)
	}
	if _, ok := tab.Full(t0, d, 0, s.full()[:1]); ok {
		t.Error("a set that is not what the digest counts was taken in")
	}
	wantRows(t, tab, 2)
	if changed, ok := tab.Full(t0, d, 0, s.full()); !changed || !ok {
		t.Errorf("changed %v, ok %v", changed, ok)
	}
	wantRows(t, tab, 2)
	if !tab.Holds(s.id, 1) {
		t.Error("after the full set the table does not hold what the digest counts")
	}
}

func TestRestartedNodeKeepsItsRowsUntilItIsComplete(t *testing.T) {
	t.Parallel()
	tab, s := steward.New(t0), newSpeaker(1)
	tab.Apply(t0, s.put("kept1_0", 1, crux.Serving), 0)
	old := s.put("ended1_0", 2, crux.Serving)
	tab.Apply(t0, old, 0)
	tab.Digest(t0, s.digest(), 0)
	s.restart()
	if got := tab.Digest(t0, s.digest(), 0); got != steward.Renewed {
		t.Errorf("outcome %v of an empty, incomplete digest, want renewed", got)
	}
	wantRows(t, tab, 2)
	tab.Apply(t0, s.put("kept1_0", 1, crux.Serving), 0)
	s.complete = true
	if got := tab.Digest(t0, s.digest(), 0); got != steward.Dropped {
		t.Errorf("outcome %v of the complete digest, want dropped", got)
	}
	wantRows(t, tab, 1)
	if tab.Apply(t0, old, 0) {
		t.Error("a row of the earlier incarnation came back")
	}
}

func TestRelayedRowHoldsNoLongerThanWhereItCameFrom(t *testing.T) {
	t.Parallel()
	a, s := steward.New(t0), newSpeaker(1)
	a.Apply(t0, s.put("galumph2_3", 1, crux.Serving), 0)
	a.Digest(t0, s.digest(), 0)
	b := steward.New(t0)
	now := t0.Add(20 * time.Second)
	if !b.Import(now, a.Since(now, nil)) {
		t.Fatal("nothing was imported")
	}
	wantRows(t, b, 1)
	if !b.Holds(s.id, 1) {
		t.Error("the table that was given all does not hold it")
	}
	b.Expire(t0.Add(ttl))
	wantRows(t, b, 0)
}

func TestSinceGivesOnlyWhatIsLacking(t *testing.T) {
	t.Parallel()
	a, b := steward.New(t0), steward.New(t0)
	same, moved := newSpeaker(1), newSpeaker(2)
	for _, s := range []*speaker{same, moved} {
		row, d := s.put("galumph2_3", 1, crux.Serving), crux.Digest{}
		d = s.digest()
		for _, tab := range []*steward.Table{a, b} {
			tab.Apply(t0, row, 0)
			tab.Digest(t0, d, 0)
		}
	}
	if d := a.Since(t0, b.Words()); len(d.Rows)+len(d.Digests) != 0 {
		t.Errorf("equal tables: %d rows, %d digests", len(d.Rows), len(d.Digests))
	}
	a.Apply(t0, same.put("other1_0", 2, crux.Serving), 0)
	a.Apply(t0, moved.put("galumph2_3", 1, crux.Gone), 0)
	a.Digest(t0, moved.digest(), 0)
	d := a.Since(t0, b.Words())
	if len(d.Rows) != 1 || len(d.Digests) != 1 || len(d.Full) != 1 || d.Full[0] != moved.id {
		t.Errorf("got %+v, want one new row of the first node, and the empty set of the second", d)
	}
}

func TestOneNodeCannotFillTheTable(t *testing.T) {
	t.Parallel()
	tab, s := steward.New(t0), newSpeaker(1)
	const tooMany = 1<<14 + 10
	for port := range tooMany {
		tab.Apply(t0, s.put("galumph2_3", port, crux.Serving), 0)
	}
	wantRows(t, tab, 1<<14)
}

func TestFindSortsAndCuts(t *testing.T) {
	t.Parallel()
	tab := steward.New(t0)
	a, b := newSpeaker(1), newSpeaker(2)
	for _, inst := range []crux.Inst{"galumph2_9", "galumph2_10", "galumph2_3", "other1_0"} {
		tab.Apply(t0, b.put(inst, 1, crux.Serving), 0)
		tab.Apply(t0, a.put(inst, 2, crux.Draining), 0)
		tab.Apply(t0, a.put(inst, 1, crux.Starting), 0)
	}
	tab.Publish()
	var got []crux.Inst
	for _, r := range tab.Find(crux.Selector{Horde: crux.DefaultHorde, API: "galumph2", Node: a.id}) {
		got = append(got, r.Inst+"@"+crux.Inst(r.NetID[len(r.NetID)-1:]))
	}
	want := []crux.Inst{"galumph2_10@1", "galumph2_10@2", "galumph2_9@1", "galumph2_9@2", "galumph2_3@1", "galumph2_3@2"}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	for sel, n := range map[crux.Selector]int{
		{Horde: crux.DefaultHorde, Inst: "galumph2_9"}:                  3,
		{Horde: crux.DefaultHorde, API: "galumph2", Inst: "galumph2_9"}: 3,
		{Horde: crux.DefaultHorde, API: "other1", Inst: "galumph2_9"}:   0,
		{Horde: "web", API: "galumph2"}:                                 0,
		{Node: b.id}:                                                    4,
		{}:                                                              12,
	} {
		if got := tab.Find(sel); len(got) != n {
			t.Errorf("%+v finds %d rows, want %d", sel, len(got), n)
		}
	}
}

func TestWhatFindGaveNeverChanges(t *testing.T) {
	t.Parallel()
	tab, s := steward.New(t0), newSpeaker(1)
	sel := crux.Selector{Horde: crux.DefaultHorde, API: "galumph2"}
	tab.Apply(t0, s.put("galumph2_3", 1, crux.Serving), 0)
	tab.Publish()
	before := tab.Find(sel)
	tab.Apply(t0, s.put("galumph2_3", 1, crux.Draining), 0)
	tab.Apply(t0, s.put("galumph2_4", 2, crux.Serving), 0)
	if len(tab.Find(sel)) != 1 {
		t.Error("a change was visible before it was published")
	}
	tab.Publish()
	if len(before) != 1 || before[0].Status != crux.Serving {
		t.Errorf("what was found before changed: %q", show(before))
	}
	if got := tab.Find(sel); len(got) != 2 || got[0].Inst != "galumph2_4" || got[1].Status != crux.Draining {
		t.Errorf("after: %q", show(got))
	}
}
