package log_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"syscall"
	"testing"

	"fulcrum.example/lashup/store/log"
	"fulcrum.example/lashup/store/vfs"
)

var (
	workloads = flag.Int("workloads", 20, "random workloads that are broken at every call to the disk")
	killings  = flag.Int("crashes", 1000, "random workloads that are stopped at a random call to the disk")
)

var fates = []vfs.Fate{vfs.Kept, vfs.Dropped, vfs.Torn, vfs.Mixed}

func sampled(t *testing.T, n int) int {
	if testing.Short() {
		return max(n/10, 1)
	}
	return n
}

// groupsOf is how many groups a workload has: some are long enough to clean.
func groupsOf(seed int) int { return 4 + seed%5*9 }

// stopped does a workload up to the n-th call to the disk, where the machine stops.
// It says whether it came to that.
func stopped(t *testing.T, seed, n int) (m *vfs.Mem, h history, stop bool) {
	t.Helper()
	m = vfs.NewMem()
	m.Break(vfs.FailAt(n, vfs.ErrKilled))
	err := h.work(m, rand.New(rand.NewPCG(uint64(seed), 1)), groupsOf(seed))
	if err != nil && !errors.Is(err, vfs.ErrKilled) {
		t.Fatalf("workload %d, call %d: %v", seed, n, err)
	}
	return m, h, err != nil
}

// survives crashes the disk, and lets the workload go on with what is left, through
// more crashes.
func survives(t *testing.T, m *vfs.Mem, h history, fate vfs.Fate, rnd *rand.Rand) {
	t.Helper()
	for again := range 2 {
		m = m.Crash(fate, rnd)
		_, c, err := open(m.Clone(), small(log.Options{}))
		if err == nil {
			err = h.allowed(c)
		}
		if err != nil {
			t.Fatalf("after crash %d with fate %d: %v", again+1, fate, err)
		}
		// What was found is what the workload goes on from: nothing of it may be
		// lost again.
		h = history{states: []content{c}}
		m.Break(vfs.FailAt(1+rnd.IntN(60), vfs.ErrKilled))
		if err := h.work(m, rnd, 5); err != nil && !errors.Is(err, vfs.ErrKilled) {
			t.Fatalf("after crash %d with fate %d: %v", again+1, fate, err)
		}
	}
}

// TestStoppedAtEveryCall stops workloads at every call to the disk, with the fates of
// what was not synced in turn.
func TestStoppedAtEveryCall(t *testing.T) {
	points := 0
	for seed := range sampled(t, *workloads) {
		rnd := rand.New(rand.NewPCG(uint64(seed), 2))
		for n := 1; ; n++ {
			m, h, stop := stopped(t, seed, n)
			survives(t, m, h, fates[(seed+n)%len(fates)], rnd)
			if points++; !stop {
				break
			}
		}
	}
	t.Logf("%d points", points)
}

// TestStoppedAnywhere stops workloads at one random call each.
func TestStoppedAnywhere(t *testing.T) {
	for seed := range sampled(t, *killings) {
		rnd := rand.New(rand.NewPCG(uint64(seed), 3))
		m, h, _ := stopped(t, seed, 1+rnd.IntN(400))
		survives(t, m, h, fates[seed%len(fates)], rnd)
	}
}

// TestNothingIsAcknowledgedAfterAFailure lets every call fail, once or for some time,
// and then stops the machine.
func TestNothingIsAcknowledgedAfterAFailure(t *testing.T) {
	for seed := range sampled(t, *workloads) {
		cause := []error{syscall.EIO, syscall.ENOSPC}[seed%2]
		for _, plan := range []func(int, error) vfs.Plan{vfs.FailAt, failFor} {
			for n := 1; failing(t, seed, n, plan(n, cause)); n++ {
			}
		}
	}
}

// failFor lets calls fail for a while.
func failFor(n int, err error) vfs.Plan {
	from := vfs.FailFrom(n, err)
	return func(c vfs.Call) error {
		if c.N > n+30 {
			return nil
		}
		return from(c)
	}
}

// failing does a workload with failures, and says whether there were any.
func failing(t *testing.T, seed, n int, plan vfs.Plan) (failed bool) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(uint64(seed), 4))
	m, h := vfs.NewMem(), history{}
	m.Break(func(c vfs.Call) error {
		err := plan(c)
		failed = failed || err != nil
		return err
	})
	err := h.work(m, rnd, groupsOf(seed)/2)
	m.Break(nil)
	survives(t, m, h, fates[n%len(fates)], rnd)
	if !failed && err != nil {
		t.Fatalf("workload %d failed without a cause: %v", seed, err)
	}
	return failed
}

func TestAfterAFailedSyncTheBytesGoToAnotherFile(t *testing.T) {
	m := vfs.NewMem()
	l, _ := mustOpen(t, m, log.Options{})
	if err := write(l, entry("a", "1")); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]log.Entry{entry("a", "2"), entry("b", "2")}); err != nil {
		t.Fatal(err)
	}
	m.Break(vfs.FailAt(1, syscall.EIO))
	if err := l.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"append": l.Append([]log.Entry{entry("a", "3")}), "sync": l.Sync(), "why": l.Broken()} {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s after a failed sync: %v", what, err)
		}
	}
	if err := l.Recover(); err != nil {
		t.Fatal(err)
	}
	if err := write(l, entry("c", "3")); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, fate := range fates {
		_, c := mustOpen(t, m.Clone().Crash(fate, rnd), log.Options{})
		if want := (content{"a": "1", "c": "3"}); !maps.Equal(c, want) {
			t.Errorf("fate %d: %v, want %v", fate, c, want)
		}
	}
}

// TestTheTailOfTheOneBeforeIsWrittenAgain: a process dies of a failed sync; the next
// one reads from the page cache what is not on the disk.
func TestTheTailOfTheOneBeforeIsWrittenAgain(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	m := vfs.NewMem()
	l, _ := mustOpen(t, m, log.Options{})
	if err := l.Append([]log.Entry{entry("a", "1")}); err != nil {
		t.Fatal(err)
	}
	m.Break(vfs.FailAt(1, syscall.EIO))
	if err := l.Sync(); err == nil {
		t.Fatal("the sync did not fail")
	}
	m = m.Crash(vfs.Kept, rnd)
	if _, c := mustOpen(t, m, log.Options{}); c["a"] != "1" {
		t.Fatalf("the page cache holds %v", c)
	}
	if _, c := mustOpen(t, m.Crash(vfs.Dropped, rnd), log.Options{}); c["a"] != "1" {
		t.Errorf("what was read once is gone: %v", c)
	}
}

func ExampleDamage() {
	fmt.Println(log.Damage{File: "/var/lib/store/00000007.log", Offset: 4096, Length: 512, Why: "a frame does not match its checksum"})
	// Output: /var/lib/store/00000007.log, byte 4096: a frame does not match its checksum; 512 bytes are lost
}
