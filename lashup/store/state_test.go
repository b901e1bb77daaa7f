package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/store/vfs"
)

func openState(t *testing.T, fs vfs.FS) (*State, int) {
	t.Helper()
	warned := 0
	s, err := OpenState(fs, func(error) { warned++ })
	if err != nil {
		t.Fatal(err)
	}
	return s, warned
}

func mint(t *testing.T, s *State, floor uint64) uint64 {
	t.Helper()
	e, err := s.NextEpoch(floor)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEpochsOnlyGrow(t *testing.T) {
	fs := vfs.NewMem()
	s, _ := openState(t, fs)
	if e := mint(t, s, 0); e != 1 {
		t.Fatalf("the first epoch is %d", e)
	}
	if err := s.SaveMembers([]crux.NodeID{nodeID(3)}); err != nil {
		t.Fatal(err)
	}
	again, _ := openState(t, fs.Crash(vfs.Dropped, nil))
	if e := mint(t, again, 0); e != 2 {
		t.Errorf("the next epoch is %d", e)
	}
	if e := mint(t, again, 40); e != 41 {
		t.Errorf("an epoch above 40 is %d: a restored backup goes on after what others know", e)
	}
	if _, err := again.NextEpoch(1 << 63); crux.KindOf(err) != crux.Exhausted {
		t.Errorf("an epoch above 2^63: %v", err)
	}
	if m := again.Members(); !slices.Equal(m, []crux.NodeID{nodeID(3)}) {
		t.Errorf("the members are %v", m)
	}
}

func TestADamagedStateIsTakenFromItsTwin(t *testing.T) {
	for _, name := range twins {
		for what, damage := range map[string]func(*vfs.Mem) error{
			"a bit":      func(m *vfs.Mem) error { return m.Corrupt(name, 133) },
			"cut short":  func(m *vfs.Mem) error { return m.Truncate(name, 20) },
			"empty":      func(m *vfs.Mem) error { return m.Truncate(name, 0) },
			"not there":  func(m *vfs.Mem) error { return m.Remove(name) },
			"a checksum": func(m *vfs.Mem) error { return m.Corrupt(name, 3) },
		} {
			fs := vfs.NewMem()
			s, _ := openState(t, fs)
			mint(t, s, 9)
			if err := damage(fs); err != nil {
				t.Fatal(err)
			}
			again, warned := openState(t, fs)
			if e := mint(t, again, 0); e != 11 {
				t.Errorf("%s of %s: the next epoch is %d, want 11", what, name, e)
			}
			if want := what != "not there"; (warned == 1) != want {
				t.Errorf("%s of %s: %d warnings", what, name, warned)
			}
			if _, warned := openState(t, fs); warned != 0 {
				t.Errorf("%s of %s: it was not made anew", what, name)
			}
		}
	}
}

func TestTwoDamagedStatesAreAnErrorThatSaysWhatToDo(t *testing.T) {
	fs := vfs.NewMem()
	s, _ := openState(t, fs)
	mint(t, s, 0)
	for _, name := range twins {
		if err := fs.Truncate(name, 5); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenState(fs, func(error) {}); crux.KindOf(err) != crux.Corrupt {
		t.Errorf("two damaged files: %v", err)
	}
}

// An epoch that was given out is never given out again, wherever the disk fails or
// the machine stops.
func TestNoEpochIsMintedTwice(t *testing.T) {
	for _, fate := range []vfs.Fate{vfs.Kept, vfs.Dropped, vfs.Torn, vfs.Mixed} {
		for _, cause := range []error{vfs.ErrKilled, syscall.EIO, syscall.ENOSPC} {
			for at := 1; at < 40; at++ {
				t.Run(fmt.Sprint(fate, cause, at), func(t *testing.T) {
					rnd := rand.New(rand.NewPCG(uint64(at), uint64(fate)))
					fs := vfs.NewMem()
					s, _ := openState(t, fs)
					used := mint(t, s, 0)
					fs.Break(vfs.FailAt(at, cause))
					for range 3 {
						if e, err := s.NextEpoch(0); err == nil {
							if e <= used {
								t.Fatalf("epoch %d after %d", e, used)
							}
							used = e
						}
					}
					again, _ := openState(t, fs.Crash(fate, rnd))
					if e := mint(t, again, 0); e <= used {
						t.Fatalf("after the crash epoch %d, which was used: %d was", e, used)
					}
				})
			}
		}
	}
}

// FuzzDecodeState reads anything as the state, with the right checksum and without.
func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(`{"serial":3,"epoch":9,"members":["0102030405060708"]}`), true)
	f.Add([]byte(`{}`), true)
	f.Add([]byte("00000000\n{}"), false)
	f.Fuzz(func(t *testing.T, b []byte, sum bool) {
		if sum {
			b = append([]byte(sumOf(b)+"\n"), b...)
		}
		fs := vfs.NewMem()
		if err := vfs.Replace(fs, twins[1], stateTemp, b); err != nil {
			t.Fatal(err)
		}
		s, err := OpenState(fs, func(error) {})
		if err != nil {
			if crux.KindOf(err) != crux.Corrupt {
				t.Error(err)
			}
			return
		}
		before := s.have.Epoch
		if e, err := s.NextEpoch(0); err != nil || e <= before {
			if before >= maxEpoch && crux.KindOf(err) == crux.Exhausted {
				return
			}
			t.Errorf("epoch %d after %d, %v", e, before, err)
		}
	})
}
