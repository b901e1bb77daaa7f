package node

import (
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/limit"
	"fulcrum.example/lashup/route"
)

// aheadRate is how many signatures are verified for a peer before the machine
// asks (some 60 µs each): at once as many as a merge with the largest bloc brings.
// Beyond that the machine verifies what it takes, within limits of its own.
var aheadRate = limit.Rate{PerSecond: 4000, Burst: 2 * route.MaxNodes}

// aheadPeers is of how many peers it is remembered, also when their links end.
const aheadPeers = 256

// ahead bounds what the readers of links verify before the machine asks. Safe for
// any goroutine.
type ahead struct {
	mu    sync.Mutex
	peers *limit.Peers
}

// may says whether what a message from a peer says is to be verified now.
func (a *ahead) may(now time.Duration, peer crux.NodeID, msg fabric.Message) bool {
	n := signatures(msg)
	if n == 0 {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.peers == nil {
		a.peers = limit.NewPeers(aheadPeers)
	}
	return a.peers.Take(now, peer, aheadRate, float64(n))
}

// signatures is how many prepare may verify for a message.
func signatures(msg fabric.Message) int {
	switch m := msg.(type) {
	case *route.Rows:
		return 2 * len(m.Adjacencies) // with cards
	case *route.News:
		return len(m.Items)
	case *cast.Push:
		return 1
	}
	return 0
}
