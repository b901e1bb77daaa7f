// Package sock makes sockets cheap for processes that say little at a time, of
// which a machine may run many: streams and datagrams whose calls go to the kernel
// as raw ones.
//
// Before any other call the runtime prepares for its taking long: it wakes its
// monitor thread, and lets that hand what else is to run to another thread. On a
// machine with more to do than processors each of the two costs more than the call.
// A socket's calls do not take long, as it does not block; what has to wait waits in
// the runtime's poller, as it does for package net.
//
// Stream and Datagrams are what package net gives, but for that. Whoever opens
// sockets of the platform may use it: crux/rpc does for every connection.
package sock
