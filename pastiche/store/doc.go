// Package store is a content-addressed cache in a folder: files named by their
// SHA-256 checksum and by nothing else.
//
// Guarantees: the folder is private (0700), its files are read-only (0500: an
// artifact may be a program) and reached through os.Root, so that no name leads
// outside; a file appears under its checksum only after all its bytes were
// hashed, matched and synced, by a rename; what is handed out was hashed by
// this very process, on the way in or at its first use after Open, and again
// whenever its size is not what it was; the bytes kept, those under way
// included, stay within MaxBytes: the least recently used unpinned files make
// room. A write that fails, for lack of space or else, leaves nothing behind.
//
// One process may have a folder open at a time. All methods may be called from
// any goroutine; the store starts none.
package store
