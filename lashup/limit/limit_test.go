package limit

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fulcrum.example/crux"
)

func node(i int) (id crux.NodeID) {
	binary.BigEndian.PutUint64(id[:], uint64(i+1))
	return id
}

// takes counts how many of so many tries get one token.
func takes(tries int, take func() bool) (n int) {
	for range tries {
		if take() {
			n++
		}
	}
	return n
}

func TestABucketGivesItsRateAndNoMore(t *testing.T) {
	var b Bucket
	r := Rate{10, 20}
	for _, c := range []struct {
		at   time.Duration
		want int
	}{{0, 20}, {0, 0}, {time.Second, 10}, {1050 * time.Millisecond, 0}, {1150 * time.Millisecond, 1}, {time.Hour, 20}} {
		if n := takes(100, func() bool { return b.Take(c.at, r, 1) }); n != c.want {
			t.Errorf("at %v it gave %d, want %d", c.at, n, c.want)
		}
	}
}

func TestAFullBucketGivesWhatIsLargerThanItself(t *testing.T) {
	var b Bucket
	r := Rate{10, 20}
	if !b.Take(0, r, 100) {
		t.Error("not even when it was full")
	}
	if b.Take(8*time.Second, r, 1) || !b.Has(10*time.Second, r, 100) {
		t.Error("it does not fill at its rate")
	}
}

// Over any span of time a bucket gives no more than the burst and the rate.
func TestABucketAgainstACount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{float64(rapid.IntRange(1, 20).Draw(t, "rate")), float64(rapid.IntRange(1, 30).Draw(t, "burst"))}
		type gift struct {
			at time.Duration
			n  float64
		}
		var b Bucket
		var gifts []gift
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 500).Draw(t, "ms")) * time.Millisecond
			n := float64(rapid.IntRange(1, int(r.Burst)).Draw(t, "n"))
			has := b.Has(now, r, n)
			if took := b.Take(now, r, n); took != has {
				t.Fatalf("Has says %v, Take %v", has, took)
			} else if took {
				gifts = append(gifts, gift{now, n})
			}
		}
		for i := range gifts {
			sum := 0.0
			for _, g := range gifts[i:] {
				sum += g.n
				if most := r.Burst + r.PerSecond*(g.at-gifts[i].at).Seconds(); sum > most+1e-6 {
					t.Fatalf("%v tokens from %v to %v, more than %v", sum, gifts[i].at, g.at, most)
				}
			}
		}
	})
}

func TestWhoComesAndGoesGetsNoMore(t *testing.T) {
	p := NewPeers(8)
	r := Rate{1, 5}
	if n := takes(10, func() bool { return p.Take(0, node(1), r, 1) }); n != 5 {
		t.Fatalf("it took %d", n)
	}
	for i := 2; i < 100; i++ { // as many others as there may be, and more
		if !p.Take(0, node(i), r, 1) {
			t.Fatalf("node %d gets nothing because of others", i)
		}
		if len(p.of) > 8 {
			t.Fatalf("%d buckets are kept", len(p.of))
		}
	}
	if p.Has(0, node(1), r, 1) || p.Take(0, node(1), r, 1) {
		t.Error("others have filled its bucket")
	}
	if !p.Take(2*time.Second, node(1), r, 2) {
		t.Error("it does not fill with time")
	}
}

func TestFullBucketsAreForgotten(t *testing.T) {
	p := NewPeers(4)
	r := Rate{1, 5}
	for i := range 4 {
		p.Take(0, node(i), r, float64(i+1))
	}
	p.Take(2*time.Second, node(9), r, 1)
	if len(p.of) != 3 || p.of[node(0)] != nil || p.of[node(1)] != nil {
		t.Errorf("%d buckets are kept", len(p.of))
	}
}
