//go:build race

package sock

// watched says that the race detector looks on. It takes what one goroutine sends
// through a socket and another receives for an order of the two, but sees ordinary
// calls only.
const watched = true
