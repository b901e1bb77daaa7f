package log

import (
	"errors"
	"io"
	"io/fs"
	"slices"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/store/vfs"
)

// Reader reads a log: all of it, then what is new, as often as one likes, also while
// another process writes (Follow); and in the end makes it one's own (Open).
type Reader struct {
	fsys    vfs.FS
	o       Options
	t       *table
	files   map[uint32]vfs.File // of the segments that t knows, void ones too
	next    uint32              // the segment in which to go on, 0 at first
	off     uint32              // and where in it
	loaded  bool                // something was given before
	tag     uint64
	damages []Damage
}

// Load takes in an entry of the log. It may keep neither slice. A nil value is given
// for a key that was given before and has been deleted since.
type Load func(key, value []byte) error

// NewReader makes a reader that has read nothing. Close or Open it.
func NewReader(fsys vfs.FS, o Options) *Reader {
	return &Reader{fsys: fsys, o: o.withDefaults(), t: newTable(), files: map[uint32]vfs.File{}}
}

// Tag is the greatest tag of the segments that were read.
func (r *Reader) Tag() uint64 { return r.tag }

// Close lets go of the files.
func (r *Reader) Close() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	r.files = nil
	return errors.Join(errs...)
}

// Follow gives load the entries of all keys, the first time, and then of those that
// have changed since: once each, but for keys that change meanwhile. It reads only
// what is known to be on disk, so the last entries may be missing. Another process
// may own the log and write. Errors: Corrupt; Unavailable, the disk; those of load.
func (r *Reader) Follow(load Load) error {
	s, err := r.survey(false)
	if err != nil {
		return err
	}
	return r.read(s, false, load)
}

// part is what one pass reads of a segment.
type part struct {
	seg      *segment
	from, to uint32
}

// read takes in what is new and gives it to load. With all, that includes the tail
// of the last segment.
func (r *Reader) read(s *survey, all bool, load Load) error {
	r.adopt(s)
	r.t.note = true
	var parts []part
	for _, seg := range r.t.segs {
		if seg.id < max(r.next, s.oldest) {
			continue
		}
		p := part{seg: seg, from: headerLen}
		if seg.id == r.next {
			p.from = r.off
		}
		if err := r.index(&p, s, all); err != nil {
			return err
		}
		r.next, r.off = seg.id, p.to
		parts = append(parts, p)
	}
	r.t.note = false
	for _, p := range parts {
		if err := r.give(p, load); err != nil {
			return err
		}
	}
	for _, seg := range r.t.segs {
		seg.dead = nil
	}
	r.loaded = r.loaded || len(parts) > 0
	return nil
}

// adopt makes the table's segments those of the survey and, before them, those that
// were known and are void by now.
func (r *Reader) adopt(s *survey) {
	if s.last == 0 {
		return // there is no log yet
	}
	first := s.oldest
	if len(r.t.segs) > 0 {
		first = r.t.segs[len(r.t.segs)-1].id + 1
	}
	for id := first; id <= s.last; id++ {
		seg := &segment{header: header{id: id}, missing: true}
		if f := s.found[id]; f != nil {
			seg.header, seg.missing = f.header, false
		}
		r.t.segs = append(r.t.segs, seg)
	}
}

// index reads a part for the first time: it enters the latest entries into the
// table, and finds out where the part ends.
func (r *Reader) index(p *part, s *survey, all bool) error {
	p.to = p.from
	found := s.found[p.seg.id]
	switch {
	case (found == nil || found.bad != nil) && len(p.seg.holes) > 0:
		return nil // that is known
	case found == nil:
		return r.harm(p.seg, hole{}, "the file is missing")
	case found.bad != nil:
		p.seg.end = clamp(found.size)
		return r.harm(p.seg, hole{0, p.seg.end}, found.bad.Error())
	}
	limit, sure := s.limits(p.seg.id)
	if !all {
		limit = sure
	}
	sc := scanner{f: r.files[p.seg.id], salt: p.seg.salt, off: p.from, limit: limit}
	for {
		f, err := sc.next()
		var bad *invalid
		switch {
		case err == nil:
			err = f.entries(func(off uint32, n int, e Entry) error {
				r.t.put(put{nameOf(e.Key), placeOf(p.seg.id, off, n, &e)})
				return nil
			})
			if err == nil {
				p.to = f.end
				continue
			}
			return r.nonsense(p.seg, err)
		case errors.Is(err, io.EOF):
		case !errors.As(err, &bad):
			return diskError("read log", err)
		case bad.off < sure:
			if p.to, err = r.skip(p.seg, &sc, bad, sure); err != nil {
				return err
			}
			continue
		}
		p.seg.end = p.to
		return nil
	}
}

// skip notes damage, and goes on behind it.
func (r *Reader) skip(seg *segment, sc *scanner, bad *invalid, sure uint32) (uint32, error) {
	f, ok, err := sc.seek(bad.off)
	if err != nil {
		return 0, diskError("read log", err)
	}
	to := f.off
	if !ok {
		sc.off, to = sc.limit, max(sure, bad.off)
	}
	return to, r.harm(seg, hole{bad.off, to}, bad.why)
}

// nonsense is the error of a batch that was written wrongly: its checksum is right.
func (r *Reader) nonsense(seg *segment, err error) error {
	var bad *invalid
	if errors.As(err, &bad) {
		return damaged(Damage{r.fsys.Path(segName(seg.id)), int64(bad.off), 0, bad.why})
	}
	return err
}

// harm notes damage, or makes it an error.
func (r *Reader) harm(seg *segment, h hole, why string) error {
	d := Damage{r.fsys.Path(segName(seg.id)), int64(h.from), int64(h.to - h.from), why}
	if !r.o.Repair {
		return damaged(d)
	}
	seg.holes = append(seg.holes, h)
	r.damages = append(r.damages, d)
	return nil
}

// give reads a part again, and gives what counts of it to load.
func (r *Reader) give(p part, load Load) error {
	from := p.from
	slices.Sort(p.seg.dead)
	for _, h := range append(slices.Clone(p.seg.holes), hole{p.to, p.to}) {
		if h.from > from {
			sc := scanner{f: r.files[p.seg.id], salt: p.seg.salt, off: from, limit: min(h.from, p.to)}
			if err := r.giveAll(p.seg, &sc, load); err != nil {
				return err
			}
		}
		from = max(from, h.to)
	}
	return nil
}

func (r *Reader) giveAll(seg *segment, sc *scanner, load Load) error {
	skip, _ := slices.BinarySearch(seg.dead, sc.off)
	dead := seg.dead[skip:]
	for {
		f, err := sc.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var bad *invalid
		if errors.As(err, &bad) { // it was valid a moment ago
			return damaged(Damage{r.fsys.Path(segName(seg.id)), int64(bad.off), 0, "reading it twice gave different bytes; " + bad.why})
		}
		if err != nil {
			return diskError("read log", err)
		}
		err = f.entries(func(off uint32, _ int, e Entry) error {
			switch {
			case len(dead) > 0 && dead[0] == off:
				dead = dead[1:]
				return nil
			case e.Value == nil && !r.loaded:
				return nil
			}
			return load(e.Key, e.Value)
		})
		if err != nil {
			return r.nonsense(seg, err)
		}
	}
}

// forget takes the void segments out of the table. What they hold that was given to
// load, and is nowhere else, has been deleted since, and cleaned away with the
// deletion.
func (r *Reader) forget(oldest uint32, load Load) error {
	if len(r.t.segs) == 0 || r.t.segs[0].id >= oldest {
		return nil
	}
	var left int64
	for _, seg := range r.t.segs {
		if seg.id < oldest {
			left += seg.live
		}
	}
	for n, p := range r.t.at { // which is many
		if left == 0 {
			break
		}
		if p.seg >= oldest {
			continue
		}
		left -= p.size()
		if !p.deleted() {
			b := make([]byte, p.size())
			if _, err := io.ReadFull(io.NewSectionReader(r.files[p.seg], int64(p.off), p.size()), b); err != nil {
				return diskError("read log", err)
			}
			e, k := parseEntry(b)
			if k != len(b) || nameOf(e.Key) != n {
				return crux.Errorf("read log", crux.Corrupt, "%s changed while it was read: read the log anew", r.fsys.Path(segName(p.seg)))
			}
			if err := load(e.Key, nil); err != nil {
				return err
			}
		}
		r.t.put(put{name: n})
	}
	r.t.segs = slices.DeleteFunc(r.t.segs, func(s *segment) bool { return s.id < oldest })
	return nil
}

// openFile opens a segment, once.
func (r *Reader) openFile(id uint32) (f vfs.File, gone bool, err error) {
	if f := r.files[id]; f != nil {
		return f, false, nil
	}
	f, err = r.fsys.Open(segName(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, diskError("read log", err)
	}
	r.files[id] = f
	return f, false, nil
}
