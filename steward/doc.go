// Package steward is the registry's table, as a pure core: the rows of all
// nodes, each signed by its owner, with leases in the holder's own time.
//
// The leader's steward holds one, and every reeve holds one. Tables that were
// given the same words of the owners, the latest digests among them, hold the
// same live rows, in whatever order the words came and however often.
//
// Guarantees:
//   - A row changes only by a later word of its owner (incarnation, sequence);
//     an equal or earlier one changes nothing.
//   - A row goes away by its owner's word (a Gone row, or a digest that counts
//     other rows, given with all of them), or at its lease's end; by nothing else.
//   - One digest renews the leases of all its owner's rows. While the table
//     holds exactly the rows that it counts, a copy of an earlier row does not
//     come back, and neither does a row whose lease has ended.
//   - A relayed row or digest holds no longer here than it would have held where
//     it came from.
//
// Signatures are the caller's to check before it applies anything; Knows says
// what need not be checked, because it would change nothing. One goroutine owns
// a Table and gives it the time. Find alone may be called from any goroutine at
// any time: it reads what the owner last published, and the slices that it
// returns never change.
package steward
