package lashup

import (
	"sync"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
)

const (
	// maxQueued and maxQueuedBytes bound what waits for one listener.
	maxQueued      = 1024
	maxQueuedBytes = 8 << 20
	// maxListeners bounds the listeners of one node.
	maxListeners = 1024
	// maxTopics bounds the topics of one listener.
	maxTopics = 64
	// reserved begins the topics that are lashup's own.
	reserved = "lashup/"
)

// hub gives the messages that reach this node to those that listen.
type hub struct {
	mu        sync.Mutex
	listeners map[*listener]struct{}
	byTopic   map[string]map[*listener]struct{}
}

func newHub() *hub {
	return &hub{listeners: make(map[*listener]struct{}), byTopic: make(map[string]map[*listener]struct{})}
}

// listener is one that listens; its queue is bounded, and what does not fit is
// counted as missed.
type listener struct {
	topics []string

	mu     sync.Mutex
	queue  []heard
	bytes  int
	missed uint64
	more   chan struct{} // holds a token when the queue may have something
}

// heard is a message for a listener, and how many it has missed by then.
type heard struct {
	cast.Delivery
	missed uint64
}

// listen adds a listener. Errors: Exhausted.
func (h *hub) listen(topics []string) (*listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.listeners) >= maxListeners {
		return nil, crux.Errorf("listen", crux.Exhausted, "this node has %d listeners, no more are taken", maxListeners)
	}
	l := &listener{topics: topics, more: make(chan struct{}, 1)}
	h.listeners[l] = struct{}{}
	for _, t := range topics {
		if h.byTopic[t] == nil {
			h.byTopic[t] = make(map[*listener]struct{})
		}
		h.byTopic[t][l] = struct{}{}
	}
	return l, nil
}

// leave removes a listener; nothing is left queued.
func (h *hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, l)
	for _, t := range l.topics {
		delete(h.byTopic[t], l)
		if len(h.byTopic[t]) == 0 {
			delete(h.byTopic, t)
		}
	}
}

// deliver hands a message to the listeners of its topic. It does not block.
func (h *hub) deliver(d cast.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.byTopic[d.Topic] {
		l.put(d)
	}
}

func (h *hub) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.listeners)
}

func (l *listener) put(d cast.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= maxQueued || len(l.queue) > 0 && l.bytes+len(d.Payload) > maxQueuedBytes {
		l.missed++
		return
	}
	l.queue = append(l.queue, heard{d, l.missed})
	l.bytes += len(d.Payload)
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// take gives what is queued.
func (l *listener) take() []heard {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.queue
	l.queue, l.bytes = nil, 0
	return all
}
