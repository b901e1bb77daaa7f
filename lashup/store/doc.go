// Package store is the replicated store of one node, running: a replica (package
// lashup/replica) over a disk.
//
// # What it guarantees
//
//   - Write returns without error once what it wrote is on disk. After a sync
//     that failed nothing is acknowledged until a later one has put everything
//     on disk again.
//   - One goroutine owns the replica, another the disk: reads, replication and
//     watches go on while the disk is slow, full or broken.
//   - What comes from the network never blocks its sender: what the store cannot
//     take in is dropped and counted, and fetched later by comparison.
//   - One process has the folder: another is told which. What is damaged on disk is
//     left out, reported, and fetched from the other nodes; it is never served.
//   - Freeze ends writing for good, puts all on disk and says how to go on: with
//     that, a successor process continues the same incarnation.
//
// Writes of many callers that come together are signed, synced and sent together.
//
// The service (package lashup) opens it and gives it the network as functions.
// All methods of Store may be called from any goroutine. Close waits for
// everything that Open started.
package store
