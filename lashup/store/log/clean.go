package log

import (
	"errors"
	"strings"

	"fulcrum.example/crux"
)

// When to clean: dead space is more than so much of the log, in percent, and the log
// is more than so many of its smallest segments; or it is of more segments than that.
const (
	deadPercent = 45
	smallLog    = 2
	maxSegments = 64
)

// keepDamaged is how many damaged files are kept for people to look at.
const keepDamaged = 4

// cleaner reads the oldest segment from its beginning to its end, once.
type cleaner struct {
	sc     scanner // of segment id
	id     uint32
	synced uint32 // up to where what counts of it is synced elsewhere
	drop   uint32 // segments before this one go when the next sync is good; 0: none
	out    []byte // entries that are copied
	puts   []put  // with places in out
}

// CleanWanted says whether there is something for Clean to do.
func (l *Log) CleanWanted() bool {
	if l.broken != nil || len(l.t.segs) < 2 {
		return false
	}
	first := l.t.segs[0]
	switch {
	case first.live == 0, l.stuck(), len(l.t.segs) > maxSegments:
		return true
	}
	for _, s := range l.t.segs {
		if len(s.holes) > 0 {
			return true
		}
	}
	total, live := l.t.sizes()
	return total > smallLog*l.o.SegmentMin && (total-live)*100 > total*deadPercent
}

// stuck says whether the oldest segment was read to its end, and yet something counts
// that is only there: it cannot be read.
func (l *Log) stuck() bool {
	c, first := &l.clean, l.t.segs[0]
	return c.id == first.id && c.synced >= first.end && first.live > 0
}

// abandon gives up what only the oldest segment has. It could be read when the log
// was opened, so this process has it in memory; the next one does not, unless it is
// written again.
func (l *Log) abandon() {
	first, n := l.t.segs[0], 0
	for name, p := range l.t.at {
		if p.seg == first.id {
			l.t.put(put{name: name})
			n++
		}
	}
	l.stats.Lost += n
	l.warn(crux.Errorf("clean", crux.Corrupt, "%d keys of %s are not on disk any more", n, l.fsys.Path(segName(first.id))))
}

// Clean reads about budget bytes of the oldest segment and appends what of them
// counts, so that the segment can go after a later Sync. It does nothing between an
// Append and its Sync. What has become unreadable since the log was opened it tells
// Options.Warn of, and gives up. Errors: of the disk where it was written, as of Append;
// Unavailable where it was read, which breaks nothing.
func (l *Log) Clean(budget int) error {
	c := &l.clean
	if l.broken != nil || len(l.pending) > 0 || c.drop > 0 || !l.CleanWanted() {
		return l.broken
	}
	seg := l.t.segs[0]
	switch {
	case seg.live == 0:
		return l.dropFirst()
	case l.stuck():
		l.abandon()
		return nil
	}
	if err := l.cleanFrom(seg); err != nil {
		return diskError("clean", err)
	}
	for end := int64(c.sc.off) + int64(budget); c.sc.off < seg.end && int64(c.sc.off) < end; {
		if err := l.gather(seg, end); err != nil {
			c.undo()
			return diskError("clean", err)
		}
		if err := l.copyOut(); err != nil {
			return err
		}
	}
	if len(l.pending) == 0 {
		c.synced = c.sc.off // nothing of what was read counts
	}
	return nil
}

// dropFirst declares void the segments at the front that hold nothing that counts.
func (l *Log) dropFirst() error {
	next := l.t.segs[0].id
	for next < l.active().id && l.t.segment(next).live == 0 {
		next++
	}
	err := l.write(kindOldest, func(b []byte, _ uint32) []byte { return le.AppendUint32(b, next) })
	if err == nil {
		l.clean.drop = next
	}
	return err
}

// cleanFrom makes seg the one that is read.
func (l *Log) cleanFrom(seg *segment) error {
	c := &l.clean
	if c.id == seg.id {
		return nil
	}
	c.close(l)
	f, err := l.fsys.Open(segName(seg.id))
	if err != nil {
		return err
	}
	c.sc = scanner{f: f, salt: seg.salt, off: headerLen, limit: seg.end, buf: c.sc.buf[:0]}
	c.id, c.synced = seg.id, headerLen
	return nil
}

// gather reads on, up to end if there is not a frame's worth to copy before, and
// takes what counts.
func (l *Log) gather(seg *segment, end int64) error {
	c := &l.clean
	c.out, c.puts = c.out[:0], c.puts[:0]
	for c.sc.off < seg.end && int64(c.sc.off) < end && len(c.out) < frameSize {
		f, err := c.sc.next()
		var bad *invalid
		if errors.As(err, &bad) {
			err = l.rot(seg, &c.sc, bad)
		} else if err == nil {
			err = l.gatherFrame(seg, &f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyOut appends what was gathered.
func (l *Log) copyOut() error {
	c := &l.clean
	if len(c.out) > 0 {
		l.stats.Cleaned += uint64(len(c.out))
		err := l.write(kindBatch, func(b []byte, base uint32) []byte {
			for i := range c.puts {
				if p := &c.puts[i].at; p.n != 0 {
					p.seg, p.off = l.active().id, base+p.off
				}
			}
			return append(b, c.out...)
		})
		if err != nil {
			return err
		}
		if cap(c.out) > 4*frameSize {
			c.out = nil // an unusually large batch
		}
	}
	l.pending = append(l.pending, c.puts...)
	return nil
}

func (l *Log) gatherFrame(seg *segment, f *frame) error {
	c := &l.clean
	return f.entries(func(off uint32, n int, e Entry) error {
		k := nameOf(e.Key)
		switch {
		case !l.t.latest(k, seg.id, off):
		case e.Value == nil: // nothing older is left that it could hide
			c.puts = append(c.puts, put{name: k})
		default:
			c.puts = append(c.puts, put{k, placeOf(0, uint32(len(c.out)), n, &e)})
			c.out = e.append(c.out)
		}
		return nil
	})
}

// rot notes that a part of seg cannot be read that could be when the log was opened,
// and goes on behind it.
func (l *Log) rot(seg *segment, sc *scanner, bad *invalid) error {
	f, ok, err := sc.seek(bad.off)
	if err != nil {
		return err
	}
	h := hole{bad.off, f.off}
	if !ok {
		h.to, sc.off = seg.end, seg.end
	}
	for _, known := range seg.holes {
		if known.from <= h.from && h.to <= known.to {
			return nil
		}
	}
	seg.holes = append(seg.holes, h)
	d := Damage{l.fsys.Path(segName(seg.id)), int64(h.from), int64(h.to - h.from), bad.why}
	l.damages = append(l.damages, d)
	l.warn(damaged(d))
	return nil
}

// cleanDone follows a good sync.
func (l *Log) cleanDone() {
	c := &l.clean
	c.synced = c.sc.off
	if c.drop == 0 {
		return
	}
	for len(l.t.segs) > 0 && l.t.segs[0].id < c.drop {
		seg := l.t.segs[0]
		l.t.segs = l.t.segs[1:]
		if c.id == seg.id {
			c.close(l)
		}
		switch {
		case seg.missing:
		case len(seg.holes) > 0:
			l.setAside(seg)
		default:
			l.remove(segName(seg.id))
		}
	}
	c.drop = 0
}

// undo forgets what was not synced.
func (c *cleaner) undo() { c.sc.off, c.drop = c.synced, 0 }

func (c *cleaner) close(l *Log) {
	if c.sc.f != nil {
		l.warn(c.sc.f.Close())
	}
	c.sc, c.id, c.synced = scanner{buf: c.sc.buf[:0]}, 0, 0
}

// setAside gives a damaged file a name that is not a segment's, and removes the
// oldest of such files if there are many.
func (l *Log) setAside(seg *segment) {
	if err := l.fsys.Rename(segName(seg.id), damagedName(seg.id)); err != nil {
		l.warn(err)
		return
	}
	list, err := l.fsys.List()
	if err != nil {
		l.warn(err)
		return
	}
	var old []string
	for _, info := range list {
		if strings.HasPrefix(info.Name, damagedName(0)[:8]) {
			old = append(old, info.Name)
		}
	}
	for len(old) > keepDamaged {
		l.remove(old[0])
		old = old[1:]
	}
}
