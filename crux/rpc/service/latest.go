package service

import (
	"context"
	"sync"
)

// latest holds the newest of a series of values and tells when there is a newer
// one.
type latest[T any] struct {
	mu      sync.Mutex
	value   T
	known   bool
	changed chan struct{}
}

func newLatest[T any]() *latest[T] { return &latest[T]{changed: make(chan struct{})} }

func (l *latest[T]) set(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value, l.known = v, true
	close(l.changed)
	l.changed = make(chan struct{})
}

// get gives the value, whether there is one yet, and a channel that is closed
// at the next set.
func (l *latest[T]) get() (T, bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value, l.known, l.changed
}

// watch sends the value and each later one until ctx or the node ends; it then
// closes the channel and calls ended. A slow receiver gets the newest.
func watch[T any](ctx context.Context, n *Node, l *latest[T], ended func()) <-chan T {
	out := make(chan T)
	started := n.start(func() {
		defer ended()
		defer close(out)
		for {
			v, known, changed := l.get()
			send := out
			if !known {
				send = nil
			}
			for fresh := true; fresh; {
				select {
				case <-ctx.Done():
					return
				case <-n.done:
					return
				case <-changed:
					fresh = false
				case send <- v:
					send = nil
				}
			}
		}
	})
	if !started {
		close(out)
		ended()
	}
	return out
}
