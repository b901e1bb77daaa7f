// Package dir is an artifact store in a folder: the embedded default, for one
// machine or a shared file system. An artifact is the file sha256/HEX.
//
// Guarantees: a file appears only after all its bytes were hashed, matched and
// synced, by a rename; several processes may use one folder at once; paths go
// through os.Root. What is read was not verified: the reader hashes it.
//
// All methods may be called from any goroutine.
package dir
