package crdt

import (
	"cmp"
	"iter"
	"slices"
	"sort"
)

// table is a sorted map from strings in as little memory as a slice takes, whose
// changes stay cheap when it is large: a list of chunks, each a sorted slice.
type table[V any] struct {
	chunks [][]item[V] // none is empty
	n      int
}

type item[V any] struct {
	key string
	val V
}

// chunkMax is the most that a chunk holds; a change moves as much at most.
const chunkMax = 128

// seek finds where key is or belongs.
func (t *table[V]) seek(key string) (chunk, at int, found bool) {
	if len(t.chunks) == 0 {
		return 0, 0, false
	}
	chunk = len(t.chunks) - 1
	if last := t.chunks[chunk]; last[len(last)-1].key < key {
		return chunk, len(last), false // as when keys come in order
	}
	// The last chunk whose first key is not after key.
	chunk = max(0, sort.Search(chunk+1, func(i int) bool { return t.chunks[i][0].key > key })-1)
	at, found = slices.BinarySearchFunc(t.chunks[chunk], key, func(x item[V], k string) int { return cmp.Compare(x.key, k) })
	return chunk, at, found
}

// find gives the value of key, or nil. The pointer is good until a key comes or
// goes.
func (t *table[V]) find(key string) *V {
	c, i, ok := t.seek(key)
	if !ok {
		return nil
	}
	return &t.chunks[c][i].val
}

// put sets the value of key.
func (t *table[V]) put(key string, v V) {
	c, i, ok := t.seek(key)
	if ok {
		t.chunks[c][i].val = v
		return
	}
	t.n++
	switch {
	case len(t.chunks) == 0:
		t.chunks = [][]item[V]{{{key, v}}}
	case len(t.chunks[c]) < chunkMax:
		t.chunks[c] = slices.Insert(t.chunks[c], i, item[V]{key, v})
	case i == chunkMax:
		t.chunks = slices.Insert(t.chunks, c+1, []item[V]{{key, v}})
	case t.split(c, i):
		t.chunks[c] = slices.Insert(t.chunks[c], i, item[V]{key, v})
	default:
		k := len(t.chunks[c])
		t.chunks[c+1] = slices.Insert(t.chunks[c+1], i-k, item[V]{key, v})
	}
}

// split makes room in chunk c for an item at i, and says whether its place is in
// c still. It cuts close behind i: what comes in order then fills c to the end.
func (t *table[V]) split(c, i int) bool {
	cut := min(max(i, chunkMax/4), chunkMax*3/4)
	full := t.chunks[c]
	rest := append(make([]item[V], 0, chunkMax), full[cut:]...)
	clear(full[cut:])
	t.chunks[c] = full[:cut]
	t.chunks = slices.Insert(t.chunks, c+1, rest)
	return i <= cut
}

// drop removes key, if it is there.
func (t *table[V]) drop(key string) {
	c, i, ok := t.seek(key)
	if !ok {
		return
	}
	t.n--
	t.chunks[c] = slices.Delete(t.chunks[c], i, i+1)
	if len(t.chunks[c]) == 0 {
		t.chunks = slices.Delete(t.chunks, c, c+1)
	}
}

// all goes through the keys in order. Values may be changed through the pointer;
// keys may not come or go meanwhile.
func (t *table[V]) all() iter.Seq2[string, *V] {
	return func(yield func(string, *V) bool) {
		for _, c := range t.chunks {
			for i := range c {
				if !yield(c[i].key, &c[i].val) {
					return
				}
			}
		}
	}
}

// clone copies the table; each makes the copy of a value.
func (t *table[V]) clone(each func(*V) V) table[V] {
	out := table[V]{make([][]item[V], len(t.chunks)), t.n}
	for i, c := range t.chunks {
		out.chunks[i] = make([]item[V], len(c))
		for k := range c {
			out.chunks[i][k] = item[V]{c[k].key, each(&c[k].val)}
		}
	}
	return out
}
