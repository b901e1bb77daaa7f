// Package boot is one node: it puts the components together, in the order in
// which a node boots, and takes them apart again. It is the composition
// (fulcrum/); nothing else imports it but the command line.
//
// Guarantees: Open either returns a running node or leaves nothing behind.
// Close waits for everything that Open started. A node that is killed leaves
// its services running, and the next Open in the same data folder finds them.
package boot
