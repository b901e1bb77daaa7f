// Package run starts one artifact as a process of its own, confined, and
// watches it until it ends. It knows nothing of restarts, heartbeats or the
// socket: that is picket's.
//
// # How an artifact becomes a process
//
// [Start] copies the artifact into memory that can no longer be changed (a
// sealed memfd) or, for a Go plugin, into a read-only file of a private folder,
// and compares the checksum of the copy. Only then does it start fulcrum's own
// binary as `fulcrum picket-launch`, which confines itself ([LaunchMain]) and
// becomes the artifact by exec: same process, no fork. A plugin is loaded by
// `fulcrum plugin-host` (picket/host), reached by the same exec; so is
// `fulcrum builtin-host` for a unit of kind builtin-child, which has no artifact:
// its program is the binary of the fulcrum that starts it.
//
// # What is promised about the process
//
//   - Its program is the bytes that the checksum names (or fulcrum itself);
//     nothing ran before they were compared.
//   - It leads a session of its own and outlives the process that started it.
//   - Arguments: the instance's name only. Environment: PATH, HOME and TMPDIR
//     (its own folder), LANG, TZ where fulcrum has one, GOTRACEBACK and
//     FULCRUM_SOCKET, and GOMEMLIMIT where memory is limited. Working
//     directory: its own folder. The umask is 077.
//   - Descriptors: 0 is /dev/null, 1 and 2 append to its log, 3 is a pipe that
//     holds its token and nothing else. A script keeps descriptor 5, by which
//     its interpreter reads it.
//   - It can gain no privileges and has no capabilities, even as root, except to
//     listen on low ports. It leaves no core file and has a limit of open files.
//   - Where the kernel has Landlock it reads the system's files, writes its own
//     folder and its log, executes what the system has installed but nothing
//     that it wrote itself, and signals nobody else. [Confinement] says what
//     this kernel can do. The network is not confined.
//
// A [Child] is known by its process id and start time together, and signalled
// through a pidfd, so that a process id used again is never mistaken for it.
// All methods of Child may be called from any goroutine.
//
// The package needs Linux 5.11 or newer.
package run

import "fulcrum.example/crux"

// LaunchCommand is the hidden sub-command of the fulcrum binary that calls
// [LaunchMain].
const LaunchCommand = "picket-launch"

// hostCommand is the sub-command that opens plugins; picket/host has the same.
const hostCommand = "plugin-host"

// builtinCommand is the sub-command that runs a function of fulcrum's own;
// picket/host has the same.
const builtinCommand = "builtin-host"

// Spec is what to start, and with what.
type Spec struct {
	Self     string    // path of the fulcrum binary: the launcher, and the plugin host
	Unit     crux.Unit // an Executable, a Plugin or a BuiltinChild
	Artifact string    // path of the artifact's file; empty for a BuiltinChild
	Socket   string    // path of the child's own unix socket, which listens already
	Token    [32]byte  // handed over on descriptor 3, as 64 hex digits
	Dir      string    // the service's own folder, which exists
	Log      string    // created with mode 0600, appended to
	Limits   Limits
}

// Limits are a child's resource limits.
type Limits struct {
	Files  uint64 // open files; 0: 65536 or what fulcrum itself may, if that is less
	Memory uint64 // bytes of private writable memory; 0: no limit
}
