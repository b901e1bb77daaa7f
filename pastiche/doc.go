// Package pastiche carries artifacts: files named by their SHA-256 checksum.
// It is a service, one a node. It keeps a local, size-bounded cache
// (pastiche/store), pulls what is missing from other nodes, and falls back to
// the artifact store (pastiche/s3, pastiche/dir), which is read about once for
// a whole bloc: the nodes that want what nobody has yet agree, through the
// arbiter that rendezvous hashing names, on one that reads it.
//
// Guarantees: a wrong byte never becomes a file, whoever sent it; concurrent
// fetches of one artifact are one; a peer that sends wrong bytes is counted and
// left alone; without peers, arbiter or artifact store what is in the cache is
// served all the same. Nothing here decides what may run: dean and picket check
// the publisher's signature over the checksum.
//
// Pastiche implements crux.Artifacts. All methods may be called from any
// goroutine.
package pastiche
