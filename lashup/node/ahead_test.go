package node

import (
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/route"
)

// However fast a peer sends what has to be verified, and over however many links:
// its readers do a bounded work before the machine asks for it.
func TestWhatIsVerifiedAheadIsBounded(t *testing.T) {
	t.Parallel()
	rows := &route.Rows{Adjacencies: make([]*route.Adjacency, 100)}
	for _, c := range []struct {
		msg  fabric.Message
		each int
	}{{rows, 200}, {&route.News{Items: make([]route.Item, 100)}, 100}, {&cast.Push{}, 1}, {&route.Digest{}, 0}} {
		var a ahead
		n := 0
		for i := range 100000 {
			if a.may(time.Duration(i)*10*time.Microsecond, crux.NodeID{1}, c.msg) {
				n += c.each
			}
		}
		if most := int(aheadRate.Burst + aheadRate.PerSecond); n > most || c.each > 0 && n < most*9/10 {
			t.Errorf("%T: %d signatures in a second, want %d", c.msg, n, most)
		}
		if !a.may(time.Second, crux.NodeID{2}, c.msg) || !a.may(time.Minute, crux.NodeID{1}, c.msg) {
			t.Errorf("%T: another peer's, or a minute later, is not verified", c.msg)
		}
	}
}
