// Package replica is the replicated store of lashup as a pure state machine: every
// key on every node, changed by operations (package crdt) anywhere at any time,
// and the same everywhere in the end.
//
// A Replica is one node's copy. Its driver (lashup/store, or lashup/sim) gives it
// writes, messages and the time, and carries out the Ready that each call
// returns: entries to write to disk, messages to neighbours, payloads to
// multicast, writes to acknowledge. The replica does no I/O, starts no goroutine,
// reads no clock and no global randomness, and signs and verifies through
// functions that it is given. One goroutine owns a Replica.
//
// # What it guarantees
//
// Replicas that have heard of the same operations hold the same values, whatever
// was lost, delayed, repeated or reordered, and whoever crashed and lost what he
// had not yet written to disk. An operation is acknowledged once its entries are
// on disk. A dot (a number of one incarnation of one node) is never used twice, as
// long as no incarnation is.
//
// What was deleted stays deleted, but for what was written concurrently. Below
// node/ID only that node writes: what anybody else says of those keys must prove
// by a signature that it is the owner's word. Shared keys trust every member of
// the bloc: a member can write any key, and a hostile one can spoil any shared
// value; it cannot make another replica panic, or take its own word for another
// node's namespace. Nor can it make one use unbounded memory, but in one way: what it
// says of nodes that never were is kept as what is said of members is.
//
// # How it works
//
// Operations leave as deltas in multicast payloads (cast.go), several in one, and
// are applied at once where they arrive, in whatever order; only those of one node
// to one key are applied in the order in which it made them (apply.go). What every
// replica has received is a set of marks for each node (vector.go): intervals,
// with holes where a payload was lost.
//
// Neighbours compare the hash of what they hold and of what they have received
// every few seconds (digest.go). If those differ they compare sums over groups of
// nodes, then the intervals of the nodes in the groups that differ, and then send
// what the other lacks (pull.go, serve.go), found by an index from mark to key and
// not by a scan. When all was received and the values differ still, memory or a
// disk is at fault: the keys are compared by a tree of hashes, and a value that
// two neighbours agree on replaces one's own (compare.go, mend.go).
//
// Deletions leave tombstones. In rounds (round.go, words.go), every member says
// once that it durably has everything that the proposer had; when all members have
// said so, and their own earlier operations have arrived, tombstones of that time
// are forgotten and closed incarnations folded (settle.go, collect.go). A member
// that was absent so long that it is not waited for learns on its return that
// others have settled what it never had: it keeps its own namespace and takes
// everything else anew (resync.go).
//
// Keys below node/ID/volatile are a second plane of the same machinery: they are
// not written to disk, and only the latest value of the latest incarnation
// counts.
package replica
