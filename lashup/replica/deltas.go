package replica

import (
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
	n     uint64
	gen   uint16
	proof *loadedProof
	state []byte
}

func (r *Replica) loadDelta(line string, in *reader) bool {
	key, n, ok := keyOfDelta(line)
	gen := in.Uvarint()
	d := loadedDelta{n: n, gen: uint16(gen), proof: in.loadedProof()}
	d.state = slices.Clone(in.rest())
	where, known := placeOf(key)
	if !in.Done() || !ok || !known || gen >= 1<<16 || where.volatile || (d.proof == nil) != where.owner.IsZero() {
		return false
	}
	r.load.deltas[key] = append(r.load.deltas[key], d)
	return true
}

// joinDeltas joins the deltas of a record into its state. Those that are left over
// from before it was written as a whole are deleted.
func (r *Replica) joinDeltas(rec *record, s *crdt.State) bool {
	list := r.load.deltas[rec.key]
	if len(list) == 0 {
		return true
	}
	delete(r.load.deltas, rec.key)
	slices.SortFunc(list, func(a, b loadedDelta) int {
		if a.n < b.n {
			return -1
		}
		return 1
	})
	log := deltaLog{first: list[0].n, next: list[len(list)-1].n + 1}
	for _, d := range list {
		if d.gen != rec.gen {
			continue
		}
		delta, err := crdt.Decode(d.state)
		if err != nil {
			return false
		}
		s.Join(delta)
		log.bytes += len(d.state)
		if p := r.load.proofs[rec]; p != nil && d.proof.mark.Compare(p.mark) > 0 {
			r.load.proofs[rec] = d.proof
		}
	}
	r.logs[rec] = log
	return true
}

// dropDeltas deletes deltas of keys that are not there.
func (r *Replica) dropDeltas() {
	for key, list := range r.load.deltas {
		for _, d := range list {
			r.disk.lines = append(r.disk.lines, deltaLine(key, d.n))
		}
	}
}
