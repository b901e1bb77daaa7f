package replica

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"fulcrum.example/lashup/crdt"
)

// Of a large value the disk gets deltas, too: lines beside the key's own one, until
// they amount to half of the value; then the value is written as a whole and they
// go.

// maxDeltas bounds the deltas of a value.
const maxDeltas = 256

// deltaLog says which deltas of a value are on disk.
type deltaLog struct {
	first, next uint64 // their numbers
	bytes       int
}

// save writes a record to disk: as a delta of what is there, if that is known and
// worth it.
func (r *Replica) save(rec *record, delta *crdt.State) {
	if rec.is(recVolatile) {
		return
	}
	log := r.logs[rec]
	if delta == nil || !rec.is(recHot) || log.bytes+delta.Size() > r.hotSizes[rec]/2 || log.next-log.first >= maxDeltas {
		r.persist(lineKey, rec.key)
		r.endLog(rec)
		return
	}
	b := r.appendHead(nil, rec)
	b = delta.Append(b)
	line := deltaLine(rec.key, log.next)
	r.disk.setDelta(line, b)
	r.disk.lines = append(r.disk.lines, line)
	log.next++
	log.bytes += len(b)
	r.logs[rec] = log
}

func deltaLine(key string, n uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(string(lineDelta)+key), n))
}

// setDelta keeps what a delta's line holds until the end of the call.
func (d *disk) setDelta(line string, b []byte) {
	if d.deltas == nil {
		d.deltas = map[string][]byte{}
	}
	d.deltas[line] = b
}

// endLog deletes the deltas of a record from disk.
func (r *Replica) endLog(rec *record) {
	r.disk.lines = append(r.disk.lines, r.cutLog(rec)...)
}

// cutLog forgets the deltas of a record, and gives their lines, which are to be
// deleted.
func (r *Replica) cutLog(rec *record) (lines []string) {
	log := r.logs[rec]
	for n := log.first; n < log.next; n++ {
		line := deltaLine(rec.key, n)
		delete(r.disk.deltas, line)
		lines = append(lines, line)
	}
	delete(r.logs, rec)
	return lines
}

// keyOfDelta takes apart the key of a delta's line, without its kind.
func keyOfDelta(line string) (key string, n uint64, ok bool) {
	i := len(line) - 8
	if i < 0 || !validKey(line[:i]) {
		return "", 0, false
	}
	return line[:i], binary.BigEndian.Uint64([]byte(line[i:])), true
}

// wholeInstead gives the lines that are to be written when a delta was lost: the
// whole value, and none of its deltas.
func (r *Replica) wholeInstead(line string) []string {
	key, _, ok := keyOfDelta(line[1:])
	rec := r.find(key)
	if !ok || rec == nil {
		return []string{line}
	}
	return append(r.cutLog(rec), line, string(lineKey)+key)
}

// loadedDelta is a delta as its line has it.
type loadedDelta struct {
	n      uint64
	gen    uint16
	proof  *loadedProof
	state  []byte
	line   []byte // all of it
	joined bool   // it is part of what is indexed
}

// loadedDeltas are the deltas of a key, while the disk is being read.
type loadedDeltas struct {
	list  []loadedDelta // by number
	base  loadedKey     // the key's own line, if what is indexed was made of it and them
	proof *loadedProof  // of what is indexed: the latest of those that the lines have
	cut   bool          // one that was joined says something else now, or has gone
}

// find gives where the delta of a number is, or would be.
func (d *loadedDeltas) find(n uint64) (int, bool) {
	return slices.BinarySearchFunc(d.list, n, func(x loadedDelta, n uint64) int { return cmp.Compare(x.n, n) })
}

// reset says that nothing of the key is indexed.
func (d *loadedDeltas) reset() {
	d.base, d.proof, d.cut = loadedKey{}, nil, false
	for i := range d.list {
		d.list[i].joined = false
	}
}

func (r *Replica) loadDelta(line string, value []byte) bool {
	value = slices.Clone(value)
	in := newReader(value)
	key, n, ok := keyOfDelta(line)
	gen := in.Uvarint()
	x := loadedDelta{n: n, gen: uint16(gen), proof: in.loadedProof(), line: value}
	x.state = in.rest()
	where, known := placeOf(key)
	if !in.Done() || !ok || !known || gen >= 1<<16 || where.volatile || (x.proof == nil) != where.owner.IsZero() {
		return false
	}
	d := r.load.deltas[key]
	if d == nil {
		d = &loadedDeltas{}
		r.load.deltas[key] = d
	}
	switch i, found := d.find(n); {
	case !found:
		d.list = slices.Insert(d.list, i, x)
	case bytes.Equal(d.list[i].line, value):
		return true // it was copied
	default:
		d.cut = d.cut || d.list[i].joined
		d.list[i] = x
	}
	r.load.stirred[key] = true
	return true
}

func (r *Replica) unloadDelta(line string) {
	key, n, _ := keyOfDelta(line)
	d := r.load.deltas[key]
	if d == nil {
		return
	}
	if i, found := d.find(n); found {
		d.cut = d.cut || d.list[i].joined
		d.list = slices.Delete(d.list, i, i+1)
		r.load.stirred[key] = true
	}
}

// joinAll joins the deltas into the state of the key's own line, but for those of
// another generation: they are left over from before it was written as a whole.
func (d *loadedDeltas) joinAll(gen uint16, s *crdt.State) error {
	for i := range d.list {
		d.list[i].joined = false
	}
	more, _, err := d.more(gen)
	for _, x := range more {
		s.Join(x)
	}
	d.cut = false
	return err
}

// more reads those that are not joined yet, which count as joined then, and gives
// what they have seen.
func (d *loadedDeltas) more(gen uint16) (list []*crdt.State, seen crdt.Context, err error) {
	for i := range d.list {
		x := &d.list[i]
		if x.joined {
			continue
		}
		x.joined = true
		if x.gen != gen {
			continue
		}
		s, err := crdt.Decode(x.state)
		if err != nil {
			return nil, seen, err
		}
		list = append(list, s)
		seen.Union(s.Context())
		if d.proof != nil && x.proof.mark.Compare(d.proof.mark) > 0 {
			d.proof = x.proof
		}
	}
	return list, seen, nil
}

// log is what the deltas are on disk.
func (d *loadedDeltas) log(gen uint16) deltaLog {
	log := deltaLog{first: d.list[0].n, next: d.list[len(d.list)-1].n + 1}
	for i := range d.list {
		if d.list[i].gen == gen {
			log.bytes += len(d.list[i].state)
		}
	}
	return log
}
