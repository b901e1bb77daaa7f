package node

import (
	"context"

	"fulcrum.example/crux"
)

// View implements crux.Members.
func (n *Node) View() *crux.View { return n.view.Load() }

// publish makes a view the newest.
func (n *Node) publish(v *crux.View) {
	if n.view.Load() == v {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.view.Store(v)
	close(n.changed)
	n.changed = make(chan struct{})
}

// newest is the newest view, and a channel that is closed when there is a newer
// one.
func (n *Node) newest() (*crux.View, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.view.Load(), n.changed
}

// Watch implements crux.Members. The channel is closed, too, when the node is.
func (n *Node) Watch(ctx context.Context) <-chan *crux.View {
	out := make(chan *crux.View)
	watch := func() {
		defer close(out)
		for {
			v, changed := n.newest()
			select {
			case out <- v:
			case <-changed:
				continue // a newer one is there: the receiver is spared this one
			case <-ctx.Done():
				return
			case <-n.stop:
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			case <-n.stop:
				return
			}
		}
	}
	if !n.spawn(watch) {
		close(out)
	}
	return out
}
