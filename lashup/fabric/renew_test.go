package fabric

import (
	"slices"
	"testing"
	"time"

	"fulcrum.example/lashup/cast"
)

// A link takes a message and its announcement with it when another one replaces
// it: over the new one both come again.
func TestAReplacedLinkLosesNoMulticast(t *testing.T) {
	b := joined(t, 2)
	x, y := b.nodes[0], b.nodes[1]
	b.mute[y.i] = true // all that it is sent is lost
	_, r, err := x.m.Publish(b.now, cast.Request{Topic: "news"})
	if err != nil {
		t.Fatal(err)
	}
	b.apply(x, r)
	b.run(100 * ms)
	delete(b.mute, y.i)
	dialled := x.m.links[y.m.id].dialled
	b.apply(x, x.m.LinkUp(b.now, y.m.id, dialled))
	b.apply(y, y.m.LinkUp(b.now, x.m.id, !dialled))
	b.run(time.Second)
	if !slices.Contains(y.heard, "news") {
		t.Error("it does not come")
	}
	b.run(time.Minute)
	if len(y.heard) != 1 {
		t.Errorf("it comes %d times", len(y.heard))
	}
}
