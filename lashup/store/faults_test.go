package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"fulcrum.example/lashup/crdt"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/store/vfs"
)

// writer writes 1, 2, 3 … to a key of its own and counts on a key that all share.
type writer struct {
	key             string
	acked, tried    int // the last value
	counted, countT int
}

// work does so many writes. Some fail.
func (w *writer) work(t *testing.T, s *Store, n int) {
	for range n {
		w.tried++
		if _, err := s.Write(t.Context(), put(w.key, fmt.Sprint(w.tried))); err == nil {
			w.acked = w.tried
		}
		w.countT++
		if _, err := s.Write(t.Context(), incr("all")); err == nil {
			w.counted++
		}
	}
}

// check compares what a store holds with what was acknowledged.
func check(t *testing.T, s *Store, writers []*writer, what string) {
	t.Helper()
	least, most := 0, 0
	for _, w := range writers {
		got := 0
		if v := read(t, s, w.key); v.Type == crdt.LastWriter {
			n, err := strconv.Atoi(v.Text[0])
			if err != nil {
				t.Fatalf("%s: %s is %q", what, w.key, v.Text)
			}
			got = n
		}
		if got < w.acked || got > w.tried {
			t.Fatalf("%s: %s is %d; %d was acknowledged, %d the last", what, w.key, got, w.acked, w.tried)
		}
		least, most = least+w.counted, most+w.countT
	}
	if got := int(read(t, s, "all").Int); got < least || got > most {
		t.Fatalf("%s: the counter is %d; %d increments were acknowledged of %d", what, got, least, most)
	}
}

// TestNoAcknowledgedWriteIsLost lets every call to the disk fail, for once or for
// good, or be the last, under a store that several write to.
func TestNoAcknowledgedWriteIsLost(t *testing.T) {
	fates := []vfs.Fate{vfs.Kept, vfs.Dropped, vfs.Torn, vfs.Mixed}
	step := 1
	if testing.Short() {
		step = 7
	}
	for i, cause := range []error{syscall.EIO, syscall.ENOSPC, vfs.ErrKilled} {
		for j, plan := range []func(int, error) vfs.Plan{vfs.FailAt, vfs.FailFrom} {
			for n := 1; n < 60; n += step {
				what := fmt.Sprintf("%v at call %d (plan %d)", cause, n, j)
				synctest.Test(t, func(t *testing.T) {
					withFault(t, plan(n, cause), fates[(i+n)%len(fates)], what)
				})
			}
		}
	}
}

func withFault(t *testing.T, plan vfs.Plan, fate vfs.Fate, what string) {
	fs := vfs.NewMem()
	n := &net{}
	s := n.open(t, 1, 1, fs)
	fs.Break(plan)
	writers := []*writer{{key: "a"}, {key: "b"}, {key: "c"}}
	var group sync.WaitGroup
	for _, w := range writers {
		group.Go(func() { w.work(t, s, 6) })
	}
	group.Wait()
	check(t, s, writers, what+", before the crash")
	after := fs.Crash(fate, rand.New(rand.NewPCG(1, 1)))
	again := n.open(t, 1, 2, after)
	check(t, again, writers, what+", after the crash")
	for _, w := range writers {
		w.work(t, again, 2)
		if w.acked != w.tried {
			t.Errorf("%s: a good disk does not take %s=%d", what, w.key, w.tried)
		}
	}
	check(t, again, writers, what+", at the end")
}

// TestAFullDiskStopsNobodyElse: while a disk is full its node reads, replicates and
// watches; when there is room it catches up, without being told.
func TestAFullDiskStopsNobodyElse(t *testing.T) { synctest.Test(t, fullDiskInANet) }

func fullDiskInANet(t *testing.T) {
	disk := vfs.NewMem()
	n := &net{}
	full, other := n.open(t, 1, 1, disk), n.open(t, 2, 1, vfs.NewMem())
	n.join(t)
	w, err := full.Watch(t.Context(), replica.Pattern{}, replica.Version{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	disk.Limit(0)
	if _, err := full.Write(t.Context(), put("mine", "1")); err == nil {
		t.Fatal("a full disk took a write")
	} else if s := err.Error(); !contains(s, ".log", "no space left", "make room") {
		t.Errorf("the error says neither where nor what to do: %v", err)
	}
	for i := range 30 {
		mustWrite(t, other, put("theirs", fmt.Sprint(i)))
	}
	until(t, "the full node has what the other wrote", func() bool {
		v := read(t, full, "theirs")
		return v.Type != 0 && v.Text[0] == "29"
	})
	until(t, "the watch has it too", func() bool {
		events, err := w.Take(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(events, func(e replica.Event) bool { return slices.Equal(e.New.Text, []string{"29"}) })
	})
	if _, err := full.Write(t.Context(), put("mine", "2")); err == nil {
		t.Error("a full disk took a write")
	}
	disk.Limit(1 << 20)
	until(t, "writes are taken again", func() bool {
		_, err := full.Write(t.Context(), put("mine", "3"))
		return err == nil
	})
	again := (&net{}).open(t, 1, 2, disk.Crash(vfs.Dropped, nil))
	if v := read(t, again, "theirs"); v.Type == 0 || v.Text[0] != "29" {
		t.Errorf("what came while the disk was full was not saved afterwards: %v", v.Text)
	}
}
