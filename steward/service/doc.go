// Package service is the group's steward: it merges what the reeves send, gives
// every change a revision, and pushes it to all of them; and it gathers the
// majority that makes a signed document count.
//
// Every node has one; it is awake only while its node acts as the flock's
// leader, and answers Unavailable otherwise. It begins each reign with what its
// own node's reeve holds and hears the rest from the reeves that join; it is
// whole when every living member has reported in this reign.
//
// Guarantees: it takes in only what owners and publishers signed, so it can
// withhold, but not invent. It erases nothing but by an owner's newer word or
// the end of a lease. A document is acknowledged only once a majority of
// members (five, in a flock of more than nine) has it on disk, and only if it
// is of a higher version than what those had who could be read.
//
// # What is pushed when
//
// Rows go out at once, those of a few milliseconds together. Digests, which only
// lengthen leases, wait for the next row or for a second, so that a thousand
// nodes do not hear each of a thousand renewals by itself. A reeve that joins
// says which digests' rows it holds; it is sent the others' rows, so that a
// change of leader moves next to nothing.
//
// All methods may be called from any goroutine; Close waits for all streams.
package service
