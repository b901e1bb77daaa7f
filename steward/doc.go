// Package steward is the registry's table, as a pure core: the rows of all
// nodes, each signed by its owner, with leases in the holder's own time.
//
// The leader's steward holds one, and every reeve holds one. Any two tables that
// have been given the same rows and digests are equal, in whatever order they
// were given.
//
// Guarantees:
//   - A row changes only by a later word of its owner (incarnation, sequence);
//     an equal or earlier one changes nothing.
//   - A row goes away by its owner's word (a Gone row, or a complete digest that
//     no longer counts it, given with the full set), or at its lease's end; by
//     nothing else.
//   - One digest renews the leases of all its owner's rows, if the table holds
//     exactly the rows that it counts.
//
// Signatures are the caller's to check before it applies anything. A Table has
// one owner, which also gives it the time; Find hands out immutable slices that
// may be shared.
package steward
