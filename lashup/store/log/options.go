package log

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"fulcrum.example/crux"
)

// Options say how a log is kept. Zero fields have the defaults.
type Options struct {
	// Tag is written to the header of every segment that this process begins; see
	// Reader.Tag.
	Tag uint64
	// Segments are a sixteenth of the log long, but SegmentMin (4 MiB) at least and
	// SegmentMax (64 MiB) at most, in bytes.
	SegmentMin, SegmentMax int64
	// Repair has damage left out and reported; without, it is an error.
	Repair bool
	// Warn is told of failures that are no harm, such as a file that could not be
	// removed; nil: nobody is.
	Warn func(error)
}

func (o Options) withDefaults() Options {
	if o.SegmentMin <= 0 {
		o.SegmentMin = 4 << 20
	}
	if o.SegmentMax <= 0 {
		o.SegmentMax = 64 << 20
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	return o
}

// Damage is a part of the log that was on disk and is no more.
type Damage struct {
	File   string
	Offset int64
	Length int64 // bytes that cannot be read
	Why    string
}

// String says what is wrong where.
func (d Damage) String() string {
	return fmt.Sprintf("%s, byte %d: %s; %d bytes are lost", d.File, d.Offset, d.Why, d.Length)
}

// damaged is the error of a log that was not to be repaired.
func damaged(d Damage) error {
	return crux.Errorf("read log", crux.Corrupt,
		"%v. Open the log with repair: what is intact is kept, and the rest comes from other nodes, if they have it; or put the file back from a backup", d)
}

// segName is the file name of a segment.
func segName(id uint32) string { return fmt.Sprintf("%08x.log", id) }

// damagedName is what the file of a damaged segment is called once it is void.
func damagedName(id uint32) string { return "damaged-" + segName(id) }

// tempName is what a segment is called that has no header yet.
const tempName = "new.log"

// parseSegName reads what segName makes.
func parseSegName(name string) (id uint32, ok bool) {
	var n uint32
	if len(name) != 12 || !strings.HasSuffix(name, ".log") {
		return 0, false
	}
	if _, err := fmt.Sscanf(name[:8], "%08x", &n); err != nil {
		return 0, false
	}
	return n, n > 0 && segName(n) == name
}

// diskError says what failed, with the kind that fits the cause.
func diskError(op string, err error) error {
	if err == nil {
		return nil
	}
	var known *crux.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return crux.Errorf(op, crux.Exhausted, "%w: make room on that disk", err)
	}
	return crux.Errorf(op, crux.Unavailable, "%w", err)
}
