package steward_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
	"fulcrum.example/steward"
)

// said is one thing that an owner said.
type said struct {
	row    *crux.Row
	digest *crux.Digest
}

func (x said) String() string {
	if d := x.digest; d != nil {
		return fmt.Sprintf("digest %d.%d of %d, complete %v", d.Incarnation, d.Seq, d.Count, d.Complete)
	}
	return show([]crux.Row{*x.row})[0]
}

// history makes an owner live: services that come, change and go, and restarts
// of the node. It ends with a complete digest.
func history(t *rapid.T, s *speaker) (out []said) {
	sayDigest := func() {
		d := s.digest()
		out = append(out, said{digest: &d})
	}
	for range rapid.IntRange(1, 12).Draw(t, "steps") {
		switch rapid.IntRange(0, 6).Draw(t, "step") {
		case 0:
			s.restart()
		case 1:
			sayDigest()
		case 2:
			s.complete = true
			sayDigest()
		case 3:
			for k := range s.rows {
				r := s.put(k.Inst, int(k.NetID[len(k.NetID)-1]-'0'), crux.Gone)
				out = append(out, said{row: &r})
				break
			}
		default:
			r := s.put(someInsts.Draw(t, "inst"), rapid.IntRange(1, 3).Draw(t, "port"), crux.Serving)
			out = append(out, said{row: &r})
		}
	}
	s.complete = true
	sayDigest()
	return out
}

func deliver(tab *steward.Table, all []said) {
	for _, x := range all {
		if x.row != nil {
			tab.Apply(t0, *x.row, 0)
		} else {
			tab.Digest(t0, *x.digest, 0)
		}
	}
}

// Every word arrives, in any order and some twice: the table shows what the
// owners have.
func TestTablesConvergeInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := newSpeaker(1), newSpeaker(2)
		all := slices.Concat(history(t, a), history(t, b))
		all = append(all, all[:len(all)/2]...)
		want := show(slices.Concat(a.full(), b.full()))
		for range 2 {
			tab := steward.New(t0)
			order := rapid.Permutation(all).Draw(t, "order")
			deliver(tab, order)
			if got := shown(tab); !slices.Equal(got, want) {
				t.Fatalf("shows %q, want %q, after %v", got, want, order)
			}
		}
	})
}

// Words are lost, and the rest comes in any order: the last digest tells, and
// one full set repairs it.
func TestLastDigestTellsWhatIsLacking(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newSpeaker(1)
		all := history(t, s)
		last := *all[len(all)-1].digest
		var arrived []said
		for _, x := range all[:len(all)-1] {
			if rapid.Bool().Draw(t, "arrives") {
				arrived = append(arrived, x)
			}
		}
		tab := steward.New(t0)
		if len(arrived) > 0 {
			deliver(tab, rapid.Permutation(arrived).Draw(t, "order"))
		}
		want := show(s.full())
		if out := tab.Digest(t0, last, 0); out == steward.Mismatch {
			if _, ok := tab.Full(t0, last, 0, s.full()); !ok {
				t.Fatal("the owner's full set was refused")
			}
		}
		if got := shown(tab); !slices.Equal(got, want) {
			t.Fatalf("shows %q, want %q", got, want)
		}
		if !tab.Holds(s.id, s.inc) {
			t.Fatal("the table does not hold what the last digest counts")
		}
	})
}

// What one table gives another makes the two show the same.
func TestSinceAndImportMakeTablesEqual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newSpeaker(1)
		all := history(t, s)
		a, b := steward.New(t0), steward.New(t0)
		deliver(a, all)
		deliver(b, all[:rapid.IntRange(0, len(all)).Draw(t, "heard")])
		now := t0.Add(time.Second)
		d := a.Since(now, b.Words())
		var rows []crux.Row
		for _, h := range d.Rows {
			rows = append(rows, h.Row)
		}
		for _, h := range d.Digests {
			if _, ok := b.Full(now, h.Digest, h.Left, rows); !ok {
				t.Fatal("the full set was refused")
			}
		}
		b.Import(now, d)
		if got, want := shown(b), shown(a); !slices.Equal(got, want) {
			t.Fatalf("shows %q, want %q", got, want)
		}
	})
}
