package log_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"fulcrum.example/lashup/store/log"
	"fulcrum.example/lashup/store/vfs"
)

// content is a table of keys and values.
type content map[string]string

// load takes in what a log gives.
func (c content) load(key, value []byte) error {
	if value == nil {
		delete(c, string(key))
		return nil
	}
	c[string(key)] = string(value)
	return nil
}

// with is the content after a batch.
func (c content) with(batch []log.Entry) content {
	next := maps.Clone(c)
	if next == nil {
		next = content{}
	}
	for _, e := range batch {
		if err := next.load(e.Key, e.Value); err != nil {
			panic(err)
		}
	}
	return next
}

// small are options with which everything happens often.
func small(o log.Options) log.Options {
	o.SegmentMin, o.SegmentMax = 1<<10, 8<<10
	return o
}

func open(fsys vfs.FS, o log.Options) (*log.Log, content, error) {
	c := content{}
	l, err := log.NewReader(fsys, o).Open(c.load)
	return l, c, err
}

func mustOpen(t testing.TB, fsys vfs.FS, o log.Options) (*log.Log, content) {
	t.Helper()
	l, c, err := open(fsys, o)
	if err != nil {
		t.Fatal(err)
	}
	return l, c
}

func mustClose(t testing.TB, l *log.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func write(l *log.Log, batch ...log.Entry) error {
	if err := l.Append(batch); err != nil {
		return err
	}
	return l.Sync()
}

func entry(key, value string) log.Entry { return log.Entry{Key: []byte(key), Value: []byte(value)} }
func removal(key string) log.Entry      { return log.Entry{Key: []byte(key)} }

// randomBatch makes a batch of entries for few keys, so that most are superseded;
// each value is written once only.
func randomBatch(rnd *rand.Rand, serial *int) []log.Entry {
	batch := make([]log.Entry, 1+rnd.IntN(4))
	for i := range batch {
		key := fmt.Sprintf("key%d", rnd.IntN(12))
		if rnd.IntN(4) == 0 {
			batch[i] = removal(key)
			continue
		}
		*serial++
		value := make([]byte, rnd.IntN(200))
		batch[i] = log.Entry{Key: []byte(key), Value: fmt.Appendf(nil, "%s=%d.%s", key, *serial, value)}
	}
	return batch
}

// history is a workload and what it was told.
type history struct {
	states  []content // after each batch, beginning with none
	batches [][]log.Entry
	acked   int // so many batches are on disk
}

// allowed says whether a log may hold c: the state after some batch, but none before
// the last one that was acknowledged.
func (h *history) allowed(c content) error {
	if len(h.states) == 0 {
		h.states = []content{{}}
	}
	for _, s := range h.states[h.acked:] {
		if maps.Equal(s, c) {
			return nil
		}
	}
	for i, s := range h.states[:h.acked] {
		if maps.Equal(s, c) {
			return fmt.Errorf("the state after batch %d was found, but %d batches were acknowledged", i, h.acked)
		}
	}
	return fmt.Errorf("%d keys were found that were never so together; %d of %d batches were acknowledged", len(c), h.acked, len(h.batches))
}

func (h *history) add(batch []log.Entry) {
	if len(h.states) == 0 {
		h.states = []content{{}}
	}
	h.batches = append(h.batches, batch)
	h.states = append(h.states, h.states[len(h.states)-1].with(batch))
}

// work writes batches in groups, cleans, and sometimes closes and opens. After a
// failure it recovers and appends again what was not acknowledged, as the replica
// does. It ends when the machine has stopped.
func (h *history) work(fsys vfs.FS, rnd *rand.Rand, groups int) error {
	l, c, err := open(fsys, small(log.Options{}))
	if err != nil {
		return err
	}
	if err := h.allowed(c); err != nil {
		return fmt.Errorf("at the start: %w", err)
	}
	serial := len(h.batches) * 100
	for range groups {
		n := rnd.IntN(4)
		for range n {
			h.add(randomBatch(rnd, &serial))
		}
		if err = h.commit(l, rnd); err != nil && errors.Is(err, vfs.ErrKilled) {
			return err
		}
		if rnd.IntN(20) > 0 {
			continue
		}
		if err := l.Close(); err != nil {
			return err
		}
		if l, c, err = open(fsys, small(log.Options{})); err != nil {
			return err
		}
		if err := h.allowed(c); err != nil {
			return fmt.Errorf("opened again: %w", err)
		}
	}
	if err := h.commit(l, rnd); err != nil {
		return err
	}
	return l.Close()
}

// commit brings what is not acknowledged yet to the disk, with a few attempts.
func (h *history) commit(l *log.Log, rnd *rand.Rand) (err error) {
	for range 3 {
		if err = l.Recover(); err != nil {
			continue
		}
		if err = h.group(l, rnd); err == nil {
			h.acked = len(h.batches)
			return nil
		}
	}
	return err
}

func (h *history) group(l *log.Log, rnd *rand.Rand) error {
	if err := l.Clean(rnd.IntN(2000)); err != nil {
		return err
	}
	for _, b := range h.batches[h.acked:] {
		if err := l.Append(b); err != nil {
			return err
		}
	}
	return l.Sync()
}
