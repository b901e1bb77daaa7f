package keys

import "sync"

// cache is a bounded map of two halves: when the young half is full, it becomes
// the old one and what nobody asked for since is forgotten.
type cache[K comparable, V any] struct {
	mu         sync.Mutex
	half       int // entries in each half, at most
	young, old map[K]V
}

func newCache[K comparable, V any](half int) *cache[K, V] {
	return &cache[K, V]{half: half, young: make(map[K]V)}
}

func (c *cache[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.young[k]; ok {
		return v, true
	}
	v, ok := c.old[k]
	if ok {
		c.putLocked(k, v)
	}
	return v, ok
}

func (c *cache[K, V]) put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(k, v)
}

func (c *cache[K, V]) putLocked(k K, v V) {
	if len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[K]V)
	}
	c.young[k] = v
}

func (c *cache[K, V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.young) + len(c.old)
}
