package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/store/vfs"
)

func TestWhatWasAcknowledgedIsThereAfterACrash(t *testing.T) {
	fs := vfs.NewMem()
	n := &net{}
	s := n.open(t, 1, 1, fs)
	var group sync.WaitGroup
	for i := range 200 { // many callers share a sync
		group.Go(func() {
			if _, err := s.Write(context.Background(), put(fmt.Sprint("k", i), "v")); err != nil {
				t.Error(err)
			}
			if _, err := s.Write(context.Background(), incr("count")); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	after := fs.Crash(vfs.Dropped, nil)
	again := (&net{}).open(t, 1, 2, after)
	for i := range 200 {
		if v := read(t, again, fmt.Sprint("k", i)); fmt.Sprint(v.Text) != "[v]" {
			t.Fatalf("k%d is %v after the crash", i, v.Text)
		}
	}
	if v := read(t, again, "count"); v.Int != 200 {
		t.Errorf("the counter is %d, want 200", v.Int)
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Log.Syncs == 0 || st.Log.Syncs >= 400 {
		t.Errorf("%d syncs for 400 writes (%v): want fewer, as callers share them", st.Log.Syncs, err)
	}
}

func TestStoresBecomeEqualWhateverWasLost(t *testing.T) {
	n := &net{}
	var stores []*Store
	for i := range 3 {
		stores = append(stores, n.open(t, i+1, 1, vfs.NewMem()))
	}
	n.join(t)
	for i, s := range stores {
		mustWrite(t, s, put(fmt.Sprint("k", i), "v"))
		n.mu.Lock()
		n.mute = i%2 == 0
		n.mu.Unlock()
		mustWrite(t, s, incr("all"))
	}
	until(t, "all are equal", func() bool {
		v, h, err := stores[0].Hash(t.Context())
		for _, s := range stores[1:] {
			w, k, serr := s.Hash(t.Context())
			if err != nil || serr != nil || v != w || h != k {
				return false
			}
		}
		return read(t, stores[2], "all").Int == 3
	})
}

func TestAFailingDiskAcknowledgesNothingAndRecoversByItself(t *testing.T) {
	synctest.Test(t, writeToAFullDisk)
}

func writeToAFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	s := (&net{}).open(t, 1, 1, fs)
	mustWrite(t, s, put("a", "1"))
	fs.Break(vfs.FailFrom(1, syscall.ENOSPC))
	if _, err := s.Write(t.Context(), put("b", "2")); err == nil {
		t.Fatal("a write was acknowledged that no disk has")
	}
	if v := read(t, s, "a"); fmt.Sprint(v.Text) != "[1]" {
		t.Errorf("a is %v: reads go on", v.Text)
	}
	_, err := s.Write(t.Context(), put("c", "3"))
	if k := crux.KindOf(err); k != crux.Unavailable && k != crux.Exhausted {
		t.Errorf("a write to a full disk: %v", err)
	}
	fs.Break(nil)
	until(t, "writes are taken again", func() bool {
		_, err := s.Write(t.Context(), put("d", "4"))
		return err == nil
	})
	again := (&net{}).open(t, 1, 2, fs.Crash(vfs.Dropped, nil))
	for key, want := range map[string]string{"a": "[1]", "d": "[4]"} {
		if v := read(t, again, key); fmt.Sprint(v.Text) != want {
			t.Errorf("%s is %v, want %s", key, v.Text, want)
		}
	}
}

func TestAWatchGivesWhatExistsAndThenEachChangeOnce(t *testing.T) {
	s := (&net{}).open(t, 1, 1, vfs.NewMem())
	mustWrite(t, s, put("a", "1"))
	w, err := s.Watch(t.Context(), replica.Pattern{}, replica.Version{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	take := func(want int) {
		until(t, fmt.Sprintf("%d events", want), func() bool {
			events, err := w.Take(t.Context(), 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				got = append(got, fmt.Sprintf("%d %v%v%v", e.Kind, e.Key, e.Old.Text, e.New.Text))
			}
			return len(got) >= want
		})
	}
	take(2)
	mustWrite(t, s, put("a", "2"))
	take(3)
	w.Close()
	if want := []string{
		fmt.Sprintf("%d [a][][1]", replica.Changed), fmt.Sprintf("%d [][][]", replica.Synced), fmt.Sprintf("%d [a][1][2]", replica.Changed),
	}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Watches != 0 {
		t.Errorf("%d watches are left (%v)", st.Watches, err)
	}
}

func TestASuccessorGoesOnAsTheSameIncarnation(t *testing.T) {
	fs := vfs.NewMem()
	n := &net{}
	s := n.open(t, 1, 7, fs)
	next, err := Prepare(n.config(1, 7, fs))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		mustWrite(t, s, put(fmt.Sprint("k", i%10), fmt.Sprint(i)))
		if i == 25 { // it reads ahead while the owner writes
			if _, err := next.Follow(); err != nil {
				t.Fatal(err)
			}
		}
	}
	version := mustWrite(t, s, incr("count"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	state, err := s.Freeze(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(t.Context(), incr("count")); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("a write to a store that was handed over: %v", err)
	}
	heir, err := next.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	n.add(t, 1, heir)
	if v := mustWrite(t, heir, incr("count")); v.Epoch != version.Epoch || v.Number <= version.Number {
		t.Errorf("version %v follows %v", v, version)
	}
	w, err := heir.Watch(t.Context(), replica.Pattern{}, version)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	events, err := w.Take(t.Context(), 10)
	if err != nil || len(events) != 2 || events[0].New.Int != 2 || events[1].Whole {
		t.Errorf("a watch that resumes sees %+v (%v), want the one change since", events, err)
	}
	for i := 40; i < 50; i++ {
		if v := read(t, heir, fmt.Sprint("k", i%10)); fmt.Sprint(v.Text) != fmt.Sprint([]int{i}) {
			t.Errorf("k%d is %v", i%10, v.Text)
		}
	}
}

func TestAfterCloseEverybodyIsTold(t *testing.T) {
	s := (&net{}).open(t, 1, 1, vfs.NewMem())
	w, err := s.Watch(t.Context(), replica.Pattern{}, replica.Version{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Take(t.Context(), 1); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("a watch of a closed store: %v", err)
	}
	if _, err := s.Write(t.Context(), put("a", "1")); crux.KindOf(err) != crux.Unavailable {
		t.Errorf("a write to a closed store: %v", err)
	}
	w.Close()
	s.Received(nodeID(2), []byte("x"))
	s.Delivered(nodeID(2), []byte("x"))
}
