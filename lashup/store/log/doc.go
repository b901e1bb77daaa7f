// Package log keeps a table of keys and values on disk: every change is appended to
// a log, and what is superseded is cleaned away while writing goes on.
//
// # What it guarantees
//
// What Append took is on disk when Sync has returned without error. The entries of
// one Append are there after a crash all or not at all, and never without those of
// an earlier Append. After an error of a write or a sync nothing more is written to
// that file, for nobody knows what became of it: all calls fail until Recover has
// begun another file, and what was not synced is the caller's to append again.
//
// Opening tells a tail that a crash has torn, which nobody was told is on disk and
// which is left out, from damage to what was on disk, which is an error that names
// the file and the place. With Options.Repair what is intact is kept, the damage is
// reported (Log.Damage), and the damaged file is set aside. A value that does not
// match its checksum is never given to anybody.
//
// Dead space is at most about as large as what is live; writing it away costs at
// most about one byte more for each byte written.
//
// # Segments
//
// A log is a row of files, the segments 00000001.log and so on, each begun when the
// one before is large enough, and whenever the log is opened or recovers. A segment
// gets its name when its header is synced; so one that has its name has a header.
//
//	header   magic "lashlog1", id(4), oldest(4), before(4), tag(8), salt(8), crc(4)
//	frame    head crc(4), length(4), durable(4), kind(4), payload crc(4), payload,
//	         zeros up to a multiple of 8
//	batch    entries: key length, value length plus 1, or 0 for a deletion (uvarints),
//	         key, value
//	oldest   id(4): earlier segments are void, whether they are there or not
//	seal     nothing: the log was closed
//
// Integers are little-endian, checksums CRC-32C. The checksum of a frame's head covers
// the segment's random salt and the frame's place, so nothing that was written
// elsewhere, be it inside a value, passes for a frame.
//
// A header says how much of the segment before is valid (before), so nothing is
// missing inside the log unnoticed, and what is beyond, a write that failed, does not
// count. A frame says how much of its own segment was synced when it was written
// (durable). In the last segment, an invalid frame that a later one calls durable is
// damage; any other is where a crash has torn the tail. What no frame calls durable is
// copied to the next segment by Open before it counts as such: the process before may
// have died of the very sync that failed.
//
// # Cleaning
//
// The oldest segment is read, what of it is still live is appended as if it were new,
// and when that is synced the segment is void and removed (Rosenblum and Ousterhout,
// The Design and Implementation of a Log-Structured File System, 1992, with the
// oldest segment always the next). As only the oldest goes, a deletion in it has
// nothing older to hide, and goes too. An index in memory says where each key's latest
// entry is: 16 bytes of the key's SHA-256 and 12 of place, about 45 bytes a key.
//
// One goroutine owns a Reader or a Log.
package log
