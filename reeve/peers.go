package reeve

import (
	"encoding/json"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"fulcrum.example/crux"
)

// peers remembers on disk whom this node knew when it was last whole, so that
// the next process knows when it is back among them.
type peers struct {
	root *os.Root
	log  *slog.Logger

	earlier []crux.NodeID // of the process before; immutable
	until   time.Time     // after which they count no more

	mu    sync.Mutex
	known []crux.NodeID // as on disk
}

const peersFile = "peers"

// openPeers reads the list. One that cannot be read is nobody: what it protects
// from is a nuisance, not a loss.
func openPeers(root *os.Root, until time.Time, log *slog.Logger) *peers {
	p := &peers{root: root, log: log, until: until}
	text, err := root.ReadFile(peersFile)
	switch {
	case os.IsNotExist(err):
	case err != nil:
		log.Warn("the list of peers cannot be read", "error", err)
	default:
		if err := json.Unmarshal(text, &p.known); err != nil {
			log.Warn("the list of peers is damaged", "error", err)
		}
	}
	p.earlier = slices.Clone(p.known)
	return p
}

// settled says whether the flock is the one that this node was in, as far as
// that matters still: more than half of those it knew are members.
func (p *peers) settled(now time.Time, v *crux.View) bool {
	if len(p.earlier) == 0 || !now.Before(p.until) {
		return true
	}
	here := 0
	for _, id := range p.earlier {
		if _, ok := v.Member(id); ok {
			here++
		}
	}
	return 2*here > len(p.earlier)
}

// remember writes the members down if they are others than before. A crash may
// lose the list; it is not synced.
func (p *peers) remember(v *crux.View) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := make([]crux.NodeID, len(v.Members))
	for i := range v.Members {
		now[i] = v.Members[i].ID
	}
	if slices.Equal(now, p.known) {
		return
	}
	text, err := json.Marshal(now)
	if err == nil {
		if err = p.root.WriteFile(".new-"+peersFile, text, 0o600); err == nil {
			err = p.root.Rename(".new-"+peersFile, peersFile)
		}
	}
	if err != nil {
		p.log.Warn("the list of peers cannot be written", "error", err)
	}
	p.known = now // after a failure too: it is tried again when they change
}
