// Package picket runs the services of a node, whatever they are made of:
// built-ins as goroutines of fulcrum, executables and Go plugins as processes of
// their own (picket/run). It implements crux.Runner, which dean drives.
//
// Guarantees:
//   - One goroutine owns each unit's life: start, first beat, serving, and after
//     an end or missed beats, again, with a growing, random pause. What one unit
//     does holds up no other.
//   - Stop says Draining in the registry first, then gives clients time to move,
//     then asks the process to quit (Quit, SIGTERM), then kills it. When Stop
//     returns, the process and its rows are gone.
//   - Children outlive a fulcrum that is killed or closed (Close). The next one
//     finds them by process ID and start time, listens on the socket they dial
//     again, and knows them by their token; their process ID, log and count of
//     restarts stay. Shutdown ends them.
//   - An artifact runs only if it is what its checksum says (picket/run).
//
// In the data folder, mode 0700: units/ has a record for each child (mode 0600:
// it holds the child's token), run/ the sockets, svc/ a folder for each API,
// log/ a log for each instance. One Picket a data folder; the composition sees
// to that.
//
// All methods may be called from any goroutine.
package picket
