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
//
// # When a snapshot is whole
//
// Snapshot.Whole says that a row that is missing is gone. While it is false a row
// that is missing may just not have arrived: receivers add what they see and drop
// nothing. It is true only while all of this holds:
//
//   - the steward of the present leader says that every living member has reported;
//   - this reeve itself holds, of every living member that it knows, exactly the
//     rows that the member's signed digest counts, in the member's present
//     incarnation: no steward's claim replaces that;
//   - this node has found again the services that outlived its last fulcrum
//     (see Ready);
//   - this node is where it was: of the members that it knew when it was last
//     whole, which it keeps on disk, more than half are members of its flock now.
//     A restarted node is a flock of one for a moment, and whole in it, but what
//     its clients know are the endpoints of the flock that it left. Failing that,
//     it waits one lease: then those rows would have ended here too.
//
// So it is false from the start of the process until the first whole answer, and
// for the second or two that a change of leader takes; look-ups meanwhile answer
// from memory.
//
// # Documents
//
// One synced file each, replaced by renaming: they are few and change seldom,
// the files can be read and copied by people, and one that a disk has damaged
// takes no other with it (a database file would). A damaged one is set aside and
// comes again from other nodes. A document of a higher version replaces one of a
// lower, never the other way; of two of the same version the one that was here
// first stays, and the log says so.
//
// All methods may be called from any goroutine; Lookup takes no lock. Close
// waits for everything that Open started; watches end.
package reeve
