package log

import (
	"errors"
	"io"
	"slices"

	"fulcrum.example/crux"
)

// survey is what files there are, and which of them count.
type survey struct {
	found        map[uint32]*found
	void         []uint32 // files that are there and do not count
	oldest, last uint32
	// Of the last segment: how much of it was surely synced, and all of it.
	sure, size uint32
}

// found is a segment's file.
type found struct {
	header
	size int64
	bad  error // what is wrong with the header
}

// mostSegments is more than any log has: a disk of 64 TiB is full by then.
const mostSegments = 1 << 20

// surveys is how often a log is looked at again whose owner removes files at the
// same time.
const surveys = 10

func (r *Reader) survey(all bool) (*survey, error) {
	for range surveys {
		s, again, err := r.lookAround(all)
		if err != nil || !again {
			return s, err
		}
	}
	return nil, crux.Errorf("read log", crux.Unavailable, "the log in %s is cleaned faster than it can be read: try again", r.fsys.Path(""))
}

// lookAround finds the segments; again: one went away meanwhile. With all, the tail
// of the last one counts.
func (r *Reader) lookAround(all bool) (s *survey, again bool, err error) {
	list, err := r.fsys.List()
	if err != nil {
		return nil, false, diskError("read log", err)
	}
	s = &survey{found: map[uint32]*found{}}
	for _, info := range list {
		id, ok := parseSegName(info.Name)
		if !ok {
			continue
		}
		f, gone, err := r.look(id)
		if err != nil {
			return nil, false, err
		}
		again = again || gone && id >= s.oldest
		if f == nil {
			continue
		}
		s.found[id] = f
		if s.last = max(s.last, id); f.bad == nil {
			s.oldest = max(s.oldest, f.oldest)
			r.tag = max(r.tag, f.tag)
		}
	}
	if s.last == 0 {
		return s, again, nil
	}
	if err := r.lookAtLast(s, all); err != nil {
		return nil, false, err
	}
	if s.oldest == 0 { // not one header is left
		s.oldest = s.last
	}
	if s.last-s.oldest >= mostSegments {
		return nil, false, crux.Errorf("read log", crux.Corrupt, "%s is out of place, %d segments are missing before it: move it away",
			r.fsys.Path(segName(s.last)), s.last-s.oldest-uint32(len(s.found)))
	}
	for id := range s.found {
		if id < s.oldest {
			s.void = append(s.void, id)
		}
	}
	return s, again, nil
}

func (r *Reader) look(id uint32) (f *found, gone bool, err error) {
	file, gone, err := r.openFile(id)
	if err != nil || gone {
		return nil, gone, err
	}
	f = &found{}
	if f.size, err = file.Size(); err != nil {
		return nil, false, diskError("read log", err)
	}
	b := make([]byte, headerLen)
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, diskError("read log", err)
	}
	f.header, f.bad = parseHeader(b[:n], id)
	f.id = id
	return f, false, nil
}

// lookAtLast reads what the last segment says about itself and the others.
func (r *Reader) lookAtLast(s *survey, all bool) error {
	last := s.found[s.last]
	s.size, s.sure = clamp(last.size), headerLen
	if last.bad != nil {
		return nil
	}
	var olds []frame
	var holes []uint32
	sc := scanner{f: r.files[s.last], salt: last.salt, off: headerLen, limit: s.size}
	for ok := true; ok; {
		f, err := sc.next()
		var bad *invalid
		switch {
		case err == nil:
			s.sure = max(s.sure, f.durable)
			if f.kind == kindOldest && len(f.payload) == 4 {
				f.payload = slices.Clone(f.payload)
				olds = append(olds, f)
			}
			continue
		case errors.Is(err, io.EOF):
			ok = false
		case errors.As(err, &bad):
			holes = append(holes, bad.off)
			if _, ok, err = sc.seek(bad.off); err != nil {
				return diskError("read log", err)
			}
		default:
			return diskError("read log", err)
		}
	}
	end := s.size // of what is without a gap
	for _, off := range holes {
		if off >= s.sure {
			end = min(end, off)
		}
	}
	for _, f := range olds {
		if f.end > end {
			break
		}
		oldest := min(le.Uint32(f.payload), s.last)
		if !all && f.off >= s.sure {
			if !s.misses(oldest) {
				continue
			}
			s.sure = f.end // it was synced, for the owner has removed files
		}
		s.oldest = max(s.oldest, oldest)
	}
	return nil
}

// misses says whether one of the segments that count is not there before id.
func (s *survey) misses(id uint32) bool {
	for i := max(s.oldest, 1); i < id; i++ {
		if s.found[i] == nil {
			return true
		}
	}
	return false
}

func clamp(size int64) uint32 { return uint32(min(size, 1<<32-1)) }

// limits gives the end of a segment, and up to where it was surely synced.
func (s *survey) limits(id uint32) (limit, sure uint32) {
	if id == s.last {
		return s.size, s.sure
	}
	if next := s.found[id+1]; next != nil && next.bad == nil {
		return next.before, next.before
	}
	return clamp(s.found[id].size), headerLen // the next one knew
}
