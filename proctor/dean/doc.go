// Package dean makes its node conform to the list that proctor made for it: it
// fetches artifacts through pastiche and starts and stops units through picket.
//
// Guarantees: the last accepted list is kept on disk and conformed to without a
// network; an older list of the same flock is refused; nothing is started that
// a signed intent (the present one of its API, or the one being replaced) and a
// signed muster row (checksum, kind and function) in this node's own reeve do
// not back; nothing is stopped that dean did not start itself. What it waits
// for, and why, goes to proctor with the next report.
package dean
