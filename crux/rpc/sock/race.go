//go:build race

package sock

import (
	"runtime"
	"unsafe"
)

// order is what the race detector takes for the order of all that is sent and received
// through sockets, as package syscall tells it of its own calls.
var order int

func sending()  { runtime.RaceReleaseMerge(unsafe.Pointer(&order)) }
func received() { runtime.RaceAcquire(unsafe.Pointer(&order)) }
