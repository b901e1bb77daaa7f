package seal

import (
	"maps"
	"testing"
)

func TestWhatWasDroppedIsCountedByItsReason(t *testing.T) {
	t.Parallel()
	var c Counters
	names := map[string]uint64{}
	for v := range verdicts {
		for range v + 1 {
			c.Add(v)
		}
		names[v.String()] = uint64(v) + 1
	}
	c.Sent()
	n := c.Snapshot()
	if n.Sent != 1 || n.By[Accepted] != 1 {
		t.Errorf("%+v", n)
	}
	delete(names, Accepted.String())
	if got := n.Dropped(); !maps.Equal(got, names) || len(got) != int(verdicts)-1 {
		t.Errorf("%v, want %v", got, names)
	}
	if len(new(Counts).Dropped()) != 0 || verdicts.String() != "unknown" {
		t.Error("what never fell is named")
	}
}
