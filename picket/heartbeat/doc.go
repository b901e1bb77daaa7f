// Package heartbeat is the sink of every alive channel of a node: it alone
// decides which service endpoints live there, and tells the registry.
//
// Table is the pure core: beats and time go in, changes come out. Heartbeater
// drives it: it keeps the expiry times, gives endpoints their keys, and brings
// the changes to the crux.Publisher, again and again until they are taken.
//
// Guarantees:
//   - A beat holds for ValidUntil-Issued after its receipt, by the node's own
//     clock; the sender's clock decides nothing.
//   - The Publisher hears changes only: an endpoint appeared, changed its status
//     or its key, or went. It hears the newest state, never a stale queue.
//   - A unit can name endpoints of its own horde and instance (and what the
//     MayServe rule adds) on the node's own IP address, and no others; an
//     endpoint belongs to the unit that named it first. Other beats are counted
//     and refused.
//   - The endpoints of a unit that is draining are Draining, whatever it beats.
//
// Picket owns the Heartbeater: a unit's beats count between Join and Leave. All
// methods of Heartbeater may be called from any goroutine; a Table belongs to
// one.
package heartbeat
