package log

import (
	"crypto/rand"
	"errors"
	"io/fs"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/store/vfs"
)

// Log is a log that this process owns. One goroutine owns it.
type Log struct {
	fsys    vfs.FS
	o       Options
	t       *table
	file    vfs.File // of the last segment
	durable uint32   // how much of it is synced
	pending []put    // what the next good Sync makes so
	broken  error    // nobody knows what of the last segment is on disk
	clean   cleaner
	damages []Damage
	buf     []byte
	stats   Stats
}

// Stats are figures of a log.
type Stats struct {
	Keys     int    // that have a value
	Segments int    // files
	Bytes    int64  // in them
	Live     int64  // of those, what counts
	Appended uint64 // bytes of entries that callers appended
	Cleaned  uint64 // bytes of entries that were copied so that a segment could go
	Syncs    uint64
	Damaged  int // places where something cannot be read, found when the log was opened or since
	Lost     int // keys that became unreadable since it was opened
}

// Stats gives the log's figures.
func (l *Log) Stats() Stats {
	s := l.stats
	s.Damaged = len(l.damages)
	s.Keys, s.Segments = len(l.t.at)-l.t.dels, len(l.t.segs)
	s.Bytes, s.Live = l.t.sizes()
	return s
}

// Damage is what was found damaged when the log was opened, and later.
func (l *Log) Damage() []Damage { return l.damages }

// Open reads what was not read yet, gives it to load, and makes the caller, who must
// hold the folder's lock, the owner of the log; where there is none it makes one. The
// Reader is used up, also by an error. Errors: Corrupt; Exhausted, the disk is full;
// Unavailable, the disk; those of load.
func (r *Reader) Open(load Load) (l *Log, err error) {
	defer func() {
		if cerr := r.Close(); cerr != nil {
			r.o.Warn(cerr) // it was only read
		}
	}()
	s, err := r.survey(true)
	if err != nil {
		return nil, err
	}
	tail, from := s.last, s.sure
	if err := r.read(s, true, load); err != nil {
		return nil, err
	}
	if err := r.forget(s.oldest, load); err != nil {
		return nil, err
	}
	l = &Log{fsys: r.fsys, o: r.o, t: r.t, damages: r.damages}
	l.o.Tag = max(l.o.Tag, r.tag)
	carry, names, err := r.carry(tail, from)
	if err != nil {
		return nil, err
	}
	if err := l.begin(carry, names); err != nil {
		if l.file != nil {
			err = errors.Join(err, l.file.Close())
		}
		return nil, err
	}
	for _, id := range s.void {
		l.remove(segName(id))
	}
	return l, nil
}

// carry gathers what counts of the last segment from an offset on. The process
// before may have written it and not have synced it.
func (r *Reader) carry(id, from uint32) (carry []Entry, names []name, err error) {
	seg := r.t.segment(id)
	if seg == nil || seg.missing || seg.end <= from || seg.holes != nil && seg.holes[0].from == 0 {
		return nil, nil, nil
	}
	end := seg.end
	seg.end = from
	for _, h := range seg.holes {
		if h.from <= from {
			from = max(from, h.to)
		}
	}
	sc := scanner{f: r.files[id], salt: seg.salt, off: from, limit: end}
	for sc.off < sc.limit {
		f, err := sc.next()
		if err != nil {
			return nil, nil, diskError("read log", err)
		}
		err = f.entries(func(off uint32, _ int, e Entry) error {
			if n := nameOf(e.Key); r.t.latest(n, id, off) {
				carry, names = append(carry, clone(e)), append(names, n)
			}
			return nil
		})
		if err != nil {
			return nil, nil, r.nonsense(seg, err)
		}
	}
	return carry, names, nil
}

func clone(e Entry) Entry {
	c := Entry{Key: append([]byte(nil), e.Key...)}
	if e.Value != nil {
		c.Value = append([]byte{}, e.Value...)
	}
	return c
}

// begin makes the next segment, the active one from then on. Entries that are to be
// carried are on disk when it has its name.
func (l *Log) begin(carry []Entry, names []name) (err error) {
	h := header{id: 1, oldest: 1, tag: l.o.Tag, salt: newSalt()}
	if n := len(l.t.segs); n > 0 {
		last := l.t.segs[n-1]
		h.id, h.oldest, h.before = last.id+1, l.t.segs[0].id, last.end
	}
	seg := &segment{header: h}
	b := h.append(nil)
	puts := make([]put, 0, len(carry))
	for i := 0; i < len(carry); {
		base, start := uint32(len(b)), len(b)
		b = beginFrame(b)
		for ; i < len(carry) && len(b)-start < frameSize; i++ {
			off := len(b)
			b = carry[i].append(b)
			puts = append(puts, put{names[i], placeOf(h.id, uint32(off), len(b)-off, &carry[i])})
		}
		b = endFrame(b, start, h.salt, base, 0, kindBatch)
	}
	seg.end = uint32(len(b))
	file, err := l.create(seg, b)
	if file == nil {
		return diskError("begin segment", err)
	}
	if l.file != nil {
		l.warn(l.file.Close())
	}
	l.t.segs, l.file, l.durable = append(l.t.segs, seg), file, seg.end
	for _, p := range puts {
		l.t.put(p)
	}
	return diskError("begin segment", err)
}

// create writes a segment's first bytes. If it gives a file, the segment has its
// name, though in the case of an error that is perhaps not on disk.
func (l *Log) create(seg *segment, b []byte) (vfs.File, error) {
	if err := l.fsys.Remove(tempName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := l.fsys.Create(tempName)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.fsys.Rename(tempName, segName(seg.id))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), l.fsys.Remove(tempName))
	}
	l.stats.Syncs++
	return f, l.fsys.SyncDir()
}

func newSalt() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return le.Uint64(b[:])
}

// active is the segment that is written.
func (l *Log) active() *segment { return l.t.segs[len(l.t.segs)-1] }

// Append writes entries, all or none; the next Sync brings them to the disk. A nil
// value deletes. It keeps none of the slices. Errors: Exhausted, they are more than
// MaxBatch bytes, and nothing is changed; Exhausted, the disk is full, or
// Unavailable, it has failed: what was not synced is lost, see Recover.
func (l *Log) Append(entries []Entry) error {
	if l.broken != nil {
		return l.broken
	}
	size := 0
	for i := range entries {
		size += entries[i].size()
	}
	if size > MaxBatch {
		return crux.Errorf("append", crux.Exhausted, "%d bytes in one batch: %d are allowed", size, MaxBatch)
	}
	if len(entries) == 0 {
		return nil
	}
	l.stats.Appended += uint64(size)
	return l.write(kindBatch, func(b []byte, base uint32) []byte {
		at := len(b)
		for i := range entries {
			n := len(b)
			b = entries[i].append(b)
			l.pending = append(l.pending, put{nameOf(entries[i].Key), placeOf(l.active().id, base+uint32(n-at), len(b)-n, &entries[i])})
		}
		return b
	})
}

// maxEnd bounds a segment; only who appends and appends without a Sync meets it.
const maxEnd = 1 << 31

// write appends a frame, with the payload that fill appends; base is where in the
// segment that begins.
func (l *Log) write(k kind, fill func(b []byte, base uint32) []byte) error {
	seg, pending := l.active(), len(l.pending)
	b := fill(beginFrame(l.buf[:0]), seg.end+frameHead)
	if frameEnd(seg.end, len(b)) > maxEnd {
		l.pending = l.pending[:pending]
		return crux.Errorf("append", crux.Exhausted, "%d bytes wait for a sync: more are not taken", seg.end-l.durable)
	}
	b = endFrame(b, 0, seg.salt, seg.end, l.durable, k)
	if l.buf = b; cap(b) > 4*frameSize {
		l.buf = nil // an unusually large batch
	}
	if _, err := l.file.Write(b); err != nil {
		return l.fail("append", err)
	}
	seg.end += uint32(len(b))
	return nil
}

// fail notes that the last segment is not to be trusted any more.
func (l *Log) fail(op string, err error) error {
	l.broken = diskError(op, err)
	l.pending = l.pending[:0]
	l.clean.undo()
	l.active().end = l.durable
	return l.broken
}

// Sync returns once all that was appended is on disk. After an error nothing of what
// was appended since the last good Sync is, as far as anybody can tell, and the log
// is broken until Recover.
func (l *Log) Sync() error {
	if l.broken != nil {
		return l.broken
	}
	seg := l.active()
	if seg.end > l.durable {
		if err := l.file.Sync(); err != nil {
			return l.fail("sync", err)
		}
		l.stats.Syncs++
		l.durable = seg.end
	}
	for _, p := range l.pending {
		l.t.put(p)
	}
	l.pending = l.pending[:0]
	l.cleanDone()
	if int64(seg.end) >= l.segmentSize() {
		l.broken = l.begin(nil, nil) // what was synced is on disk all the same
	}
	return nil
}

func (l *Log) segmentSize() int64 {
	total, _ := l.t.sizes()
	return min(max(total/16, l.o.SegmentMin), l.o.SegmentMax)
}

// Broken is why nothing can be written, or nil.
func (l *Log) Broken() error { return l.broken }

// Recover begins another file after a failure. Errors as of Append: try again later.
func (l *Log) Recover() error {
	if l.broken == nil {
		return nil
	}
	if err := l.begin(nil, nil); err != nil {
		l.broken = err
		return err
	}
	l.broken = nil
	return nil
}

// Close syncs the log, notes that it was closed in order, and lets go of the files.
// After an error what was not synced before is lost.
func (l *Log) Close() error {
	err := l.Sync()
	if err == nil && l.broken == nil {
		err = l.write(kindSeal, func(b []byte, _ uint32) []byte { return b })
	}
	if err == nil && l.broken == nil {
		err = l.Sync()
	}
	l.clean.close(l)
	err = errors.Join(err, l.file.Close())
	l.broken = crux.Errorf("append", crux.Unavailable, "the log is closed")
	return err
}

// remove removes a file that does not count any more. It does no harm where it is.
func (l *Log) remove(name string) {
	if err := l.fsys.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		l.warn(err)
	}
}

func (l *Log) warn(err error) {
	if err != nil {
		l.o.Warn(err)
	}
}
