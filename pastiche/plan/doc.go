// Package plan decides, without doing any of it, who reads an artifact from the
// artifact store when many nodes want it at once.
//
// Order ranks nodes for an artifact by rendezvous hashing, the same on every
// node: the first is the artifact's arbiter. Table is what an arbiter
// remembers: who wants what, who has it, who reads it for all. It is pure: time
// is a parameter, effects are returned. One goroutine at a time may use it.
package plan
