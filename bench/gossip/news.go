package gossip

import (
	"sync"

	"github.com/hashicorp/memberlist"
)

// news are a member's broadcasts: each that is new to it goes to whoever listens,
// and on to others, as Serf's events do.
type news struct {
	queue memberlist.TransmitLimitedQueue

	mu     sync.Mutex
	known  map[string]bool
	listen func(text string)
}

// init prepares the news of a member among so many.
func (n *news) init(nodes int) {
	n.queue.NumNodes = func() int { return nodes }
	n.queue.RetransmitMult = memberlist.DefaultLANConfig().RetransmitMult
	n.known, n.listen = map[string]bool{}, func(string) {}
}

// take takes in a text, of which only the first time counts.
func (n *news) take(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known[text] {
		return
	}
	n.known[text] = true
	n.queue.QueueBroadcast(broadcast(text))
	n.listen(text)
}

// Listen has f called, with what broadcasts say, when they come to member i; f
// waits for nothing.
func (c *Cluster) Listen(i int, f func(text string)) {
	n := &c.members[i].news
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listen = f
}

// Broadcast has member i tell all others a text that nobody has told before.
func (c *Cluster) Broadcast(i int, text string) { c.members[i].news.take(text) }

// broadcast is a text on its way; none makes another one void.
type broadcast string

var _ memberlist.UniqueBroadcast = broadcast("")

func (b broadcast) Message() []byte                       { return []byte(b) }
func (b broadcast) Invalidates(memberlist.Broadcast) bool { return false }
func (b broadcast) UniqueBroadcast()                      {}
func (b broadcast) Finished()                             {}
