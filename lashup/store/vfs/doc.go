// Package vfs is what the store needs of a disk, as an interface with two
// implementations: OS, one folder of the machine, and Mem, a disk in memory that
// tests break.
//
// # What a file system promises here
//
// No more than POSIX does. A file's bytes are on the disk once Sync of that file
// has returned without error; a file's name, or its absence, once SyncDir has. What
// was not synced may be lost in a crash, or be there in part, torn at any byte, with
// zeros where sectors are missing, in any order. Rename is atomic: a name that is
// replaced is the old file or the new one.
//
// When Sync of a file fails, the bytes written to it since its last good Sync may be
// lost for good, although reading still shows them and the next Sync succeeds. (Linux
// marks the pages clean; Rebello et al., Can Applications Recover from fsync
// Failures?, 2020.) Only writing them again, to another file, helps.
//
// Files are only ever appended to, and one folder holds all: the store needs no more.
//
// A file system may be used by any goroutine; a File by one, but for ReadAt, which
// any may call.
package vfs
