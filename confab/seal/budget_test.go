package seal

import (
	"net/netip"
	"testing"
	"time"
)

func TestABudgetGivesItsRateAndNoMore(t *testing.T) {
	t.Parallel()
	b := NewBudget(1, 10, 20)
	from := netip.MustParseAddrPort("10.0.0.1:7")
	took := func(at time.Duration, tries int) (n int) {
		for range tries {
			if b.Take(at, from) {
				n++
			}
		}
		return n
	}
	if n := took(0, 100); n != 20 {
		t.Errorf("the burst gave %d, want 20", n)
	}
	if n := took(time.Second, 100); n != 10 {
		t.Errorf("a second gave %d, want 10", n)
	}
	if n := took(time.Hour, 100); n != 20 {
		t.Errorf("an hour gave %d, want a burst of 20", n)
	}
	if n := took(time.Minute, 100); n != 0 {
		t.Errorf("a clock that went back gave %d", n)
	}
}
