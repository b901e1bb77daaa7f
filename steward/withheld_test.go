package steward_test

import (
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/steward"
)

func TestForgedDigestOfAKnownWordChangesNothing(t *testing.T) {
	t.Parallel()
	tab, s := steward.New(t0), newSpeaker(1)
	s.complete = true
	tab.Apply(t0, s.put("galumph2_3", 1, crux.Serving), 0)
	d := s.digest()
	if out := tab.Digest(t0, d, 0); out != steward.Renewed {
		t.Fatalf("outcome %v", out)
	}
	d.Count, d.Hash = 0, [16]byte{} // the same word of the owner, so its signature is not looked at
	if changed, ok := tab.Full(t0, d, 0, nil); changed || ok {
		t.Errorf("changed %v, ok %v", changed, ok)
	}
	wantRows(t, tab, 1)
}

func TestWithheldWithdrawalEndsWithTheLease(t *testing.T) {
	t.Parallel()
	tab, s := steward.New(t0), newSpeaker(1)
	s.complete = true
	tab.Apply(t0, s.put("kept1_0", 1, crux.Serving), 0)
	tab.Apply(t0, s.put("withdrawn1_0", 2, crux.Serving), 0)
	tab.Digest(t0, s.digest(), 0)
	s.put("withdrawn1_0", 2, crux.Gone) // and a hostile steward passes on digests alone
	now := t0
	for range 10 {
		now = now.Add(10 * time.Second)
		tab.Digest(now, s.digest(), 0)
		tab.Expire(now)
	}
	tab.Publish()
	for _, r := range tab.Find(crux.Selector{Horde: crux.DefaultHorde, API: "withdrawn1"}) {
		t.Errorf("%s lives %v after its owner withdrew it", r.Inst, now.Sub(t0))
	}
}
