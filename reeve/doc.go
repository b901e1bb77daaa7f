// Package reeve is the registry on each node: what everybody on the node talks
// to. It answers look-ups from memory, tells watchers of changes, signs and
// publishes the node's own rows, and keeps the group's signed documents on disk.
//
// It follows the flock's leader: one stream to the leader's steward carries what
// this node has, and brings what the others have. When the leader moves, reeve
// keeps everything and joins the next one.
//
// # What it guarantees
//
//   - Every row and digest that it takes in was signed by its owner, every
//     document by those who may publish.
//   - A row goes away by its owner's word or at its lease's end; a steward that
//     knows less, one of an older epoch, or one of a flock that this node left
//     takes nothing away.
//   - Snapshot.Whole is true only while the steward of the present leader says
//     that every living member has reported: then a row that is missing is gone.
//     From the start of this process until then, and whenever the steward is
//     lost, it is false: then a row that is missing may just not have arrived.
//
// All methods may be called from any goroutine. Close waits for everything that
// Open started; watches end.
package reeve
