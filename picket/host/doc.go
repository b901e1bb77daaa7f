// Package host is the process that runs one function that is not a program by
// itself: of a Go plugin ([Main]), or compiled into fulcrum ([BuiltinMain]). Go
// can load a plugin but never unload it, so each has a process of its own, and
// ending the process is the unload; a built-in is given one when it is heavy, or
// must outlive the fulcrum that started it.
//
// picket/run starts it, confined, as `fulcrum plugin-host PATH CHECKSUM FUNC
// [FD]`. It opens the file, compares the checksum of what it opened, compares
// how plugin and host were built (Go checks some of that when it loads, and
// crashes or refuses without a remedy), loads it, finds the function, and then
// is an ordinary service process (crux/rpc/service).
//
// The function is a crux.Service, or an exported variable that holds one.
//
// A failure is one line on standard error, exit status 1, and goes to run.Start
// over descriptor FD where that is given. A fulcrum that was built without cgo
// cannot load plugins, and says so.
//
// Loading runs the plugin's package initialisers: they are bound by the same
// confinement and time limit as the start.
package host

// Command is the hidden sub-command of the fulcrum binary that calls Main, and
// BuiltinCommand the one that calls BuiltinMain.
const (
	Command        = "plugin-host"
	BuiltinCommand = "builtin-host"
)
