package flock

import (
	"crypto/ed25519"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"fulcrum.example/crux"
	"pgregory.net/rapid"
)

func flockOf(size uint32, id byte) Summary {
	return Summary{Flock: crux.FlockID{id}, Size: size, Epoch: 1}
}

func TestTheBetterFlock(t *testing.T) {
	for _, c := range []struct {
		why         string
		lesser, big Summary
	}{
		{"the larger one, whatever its ID", flockOf(3, 9), flockOf(4, 1)},
		{"of equal sizes the one with the greater ID", flockOf(4, 1), flockOf(4, 2)},
		{"a newcomer does not depose an old flock", flockOf(1, 255), flockOf(2, 0)},
		{"nor does one that has lived through many epochs alone", Summary{Flock: crux.FlockID{255}, Size: 1, Epoch: 1 << 40}, flockOf(50, 0)},
	} {
		if !c.lesser.less(&c.big) || c.big.less(&c.lesser) {
			t.Errorf("not so: %s", c.why)
		}
	}
}

// Sorting needs a total order; every pair must agree with it both ways.
func TestTheMergeOrderIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []Summary
		for i := range rapid.IntRange(2, 12).Draw(t, "flocks") {
			all = append(all, flockOf(rapid.Uint32Range(1, 4).Draw(t, "size"), byte(i)))
		}
		slices.SortFunc(all, func(a, b Summary) int {
			if a.less(&b) {
				return -1
			}
			return 1
		})
		for i := range all {
			for k := range all {
				if all[i].less(&all[k]) != (i < k) {
					t.Fatalf("%d and %d of %+v", i, k, all)
				}
			}
		}
	})
}

// members are n records of one flock.
func members(rng *rand.Rand, n int, flock crux.FlockID) *list {
	l := newList()
	for i := range n {
		var id crux.NodeID
		binary.BigEndian.PutUint64(id[:], rng.Uint64())
		l.put(&Entry{Version: uint64(i + 1), State: crux.Alive, Record: &Record{ID: id, Incarnation: 1, Flock: flock}})
	}
	return l
}

func TestAProofStandsForAboutAsManyAsThereAre(t *testing.T) {
	m := testMachine(t, 0)
	rng := rand.New(rand.NewPCG(1, 1))
	id := crux.FlockID{7}
	for _, n := range []int{1, 5, sample - 1, sample, 100, 1000, 5000} {
		for range 20 {
			seed := rng.Uint64()
			got := m.proven(seed, id, members(rng, n, id).proof(id, seed))
			if n < sample && got != n || n >= sample && (got < n/2 || got > 2*n) {
				t.Errorf("the proof of %d members stands for %d", n, got)
			}
		}
	}
}

func TestAFalseProofStandsForNobody(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	id := crux.FlockID{7}
	good := members(rng, 100, id).proof(id, 5)
	stranger := testRecord(3, id)
	for why, rs := range map[string][]*Record{
		"another flock's":     members(rng, 100, crux.FlockID{8}).proof(crux.FlockID{8}, 5),
		"one of them twice":   append(slices.Clone(good[:5]), good[4:]...),
		"another seed's":      members(rng, 100, id).proof(id, 6),
		"something missing":   append(slices.Clone(good[:3]), nil),
		"one is not enrolled": {stranger},
	} {
		m := testMachine(t, 0)
		if why == "one is not enrolled" {
			m.cfg.Enrolled = func(ed25519.PublicKey) bool { return false }
		}
		if n := m.proven(5, id, rs); n != 0 {
			t.Errorf("%s: stands for %d", why, n)
		}
	}
}
