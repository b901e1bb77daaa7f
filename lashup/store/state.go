package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"sync"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/store/vfs"
)

// What a process must know of the ones before it is small, and kept twice: a file
// that is damaged or cut short is made anew from its twin.
var twins = [...]string{"state-a.json", "state-b.json"}

const (
	stateTemp = "state.new"
	maxState  = 8 << 20
	maxEpoch  = 1<<63 - 1 // as of replica.Config
)

// State is the small state of a node's lashup on disk. Its methods may be called
// from any goroutine.
type State struct {
	fs vfs.FS

	mu   sync.Mutex
	have kept
}

// kept is what the files hold.
type kept struct {
	Serial  uint64        `json:"serial"`  // of two files that differ, the greater counts
	Epoch   uint64        `json:"epoch"`   // the greatest that was ever used
	Members []crux.NodeID `json:"members"` // worth trying after a restart
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenState reads the state; there is an empty one where no file is. warn is told of
// a file that is damaged while its twin is not. Errors: Corrupt, both are damaged:
// then nobody here knows which epochs were used; Unavailable, the disk.
func OpenState(fsys vfs.FS, warn func(error)) (*State, error) {
	s := &State{fs: fsys}
	var bad []error
	found := 0
	for _, name := range twins {
		k, err := readState(fsys, name)
		switch {
		case err == nil:
			found++
			if k.Serial >= s.have.Serial {
				s.have = k
			}
		case errors.Is(err, fs.ErrNotExist):
		case crux.KindOf(err) == crux.Corrupt:
			bad = append(bad, err)
		default:
			return nil, crux.Errorf("read state", crux.Unavailable, "%w", err)
		}
	}
	if len(bad) > 0 && found == 0 {
		return nil, crux.Errorf("read state", crux.Corrupt, "%w. No twin is whole: restore one of the two from a backup, or remove both if this node's store is to begin anew", errors.Join(bad...))
	}
	for _, err := range bad {
		warn(err)
	}
	return s, nil
}

func readState(fsys vfs.FS, name string) (k kept, err error) {
	damaged := func(why string) error {
		return crux.Errorf("read state", crux.Corrupt, "%s is damaged: %s", fsys.Path(name), why)
	}
	b, err := vfs.ReadAll(fsys, name, maxState)
	if errors.Is(err, fs.ErrInvalid) {
		return k, damaged("it is too long")
	}
	if err != nil {
		return k, err
	}
	sum, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(sum) != sumOf(body) {
		return k, damaged("its checksum does not match")
	}
	if err := json.Unmarshal(body, &k); err != nil {
		return k, damaged(err.Error())
	}
	return k, nil
}

func sumOf(body []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)) }

// Used says whether there has been an epoch.
func (s *State) Used() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.have.Epoch > 0
}

// NextEpoch mints an epoch greater than any that was used, as far as the files and
// floor (what others say, or the clock) know. It is on disk when this returns. Errors:
// Exhausted, there is no greater one; Unavailable, the disk.
func (s *State) NextEpoch(floor uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.have
	if next.Epoch = max(next.Epoch, floor); next.Epoch >= maxEpoch {
		return 0, crux.Errorf("mint an epoch", crux.Exhausted, "epoch %d cannot have been used: remove %s and %s if no other process is this node", next.Epoch, s.fs.Path(twins[0]), s.fs.Path(twins[1]))
	}
	next.Epoch++
	if err := s.save(next); err != nil {
		return 0, crux.Wrap("mint an epoch", err)
	}
	return next.Epoch, nil
}

// Members are the nodes that were saved last.
func (s *State) Members() []crux.NodeID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.have.Members
}

// SaveMembers keeps nodes that are worth trying after a restart; list is not changed
// any more.
func (s *State) SaveMembers(list []crux.NodeID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.have
	next.Members = list
	return crux.Wrap("keep members", s.save(next))
}

// save writes both files, one after the other. What the first was given counts even
// if the second fails: it has the greater serial.
func (s *State) save(k kept) error {
	k.Serial++
	body, err := json.Marshal(k)
	if err != nil {
		return crux.Errorf("save state", crux.Internal, "%w", err)
	}
	data := append([]byte(sumOf(body)+"\n"), body...)
	for _, name := range twins {
		if err := vfs.Replace(s.fs, name, stateTemp, data); err != nil {
			return crux.Errorf("save state", crux.Unavailable, "%s: %w", s.fs.Path(name), err)
		}
	}
	s.have = k
	return nil
}
