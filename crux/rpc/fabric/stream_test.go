package fabric

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fulcrum.example/crux"
)

// A stream that is broken for long is told of once, and that it goes on; one that is
// made anew at once is not.
func TestTroubleIsToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []string
		c := &Client{}
		c.OnTrouble(func(why error) {
			if why == nil {
				told = append(told, "well")
			} else {
				told = append(told, why.Error())
			}
		})
		away := crux.Errorf("", crux.Unavailable, "away")
		began, opens := time.Now(), 0
		err := c.keep(t.Context(), func(_ context.Context, opened func()) error {
			switch since := time.Since(began); {
			case opens == 0, opens == 1 && since > 100*time.Millisecond, opens == 2 && since > 10*time.Second:
				opens++
				opened()
				return away
			case opens == 3:
				return errEnough
			}
			return away
		})
		synctest.Wait()
		if err != nil || !slices.Equal(told, []string{"away", "well"}) {
			t.Errorf("%v, told %q", err, told)
		}
	})
}
