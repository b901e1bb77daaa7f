package node

import (
	"sync"
	"testing"
	"time"
)

// leaping is a clock that a test puts forward.
type leaping struct {
	mu    sync.Mutex
	ahead time.Duration
	waits []alarm
}

type alarm struct {
	at time.Time
	c  chan time.Time
}

func (l *leaping) Now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Add(l.ahead)
}

func (l *leaping) After(d time.Duration) <-chan time.Time {
	w := alarm{l.Now().Add(d), make(chan time.Time, 1)}
	time.AfterFunc(d, w.fire)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits = append(l.waits, w)
	return w.c
}

func (w alarm) fire() {
	select {
	case w.c <- w.at:
	default: // it has fired
	}
}

func (l *leaping) leap(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ahead += d
	for _, w := range l.waits {
		if !w.at.After(time.Now().Add(l.ahead)) {
			w.fire()
		}
	}
}

func TestWhoStaysMissingIsGoneInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	h, clock := w.all[0], new(leaping)
	s, err := Listen(soon(t), h.net)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Service.Close()
	h.epoch, h.sockets = 1, s
	cfg := h.config(inst)
	cfg.Clock = clock
	if h.Node, err = Open(soon(t), cfg); err != nil {
		t.Fatal(err)
	}
	defer h.stop()
	w.members.Set(h.member.ID, h.member, w.all[2].member)
	eventually(t, "it to be missed", func() bool { return h.nextMeet() < followEvery })
	clock.leap(missingMost - time.Second)
	w.members.Evict(w.all[2].member.ID)
	eventually(t, "who was evicted to be gone", func() bool { return len(h.look().Members) == 2 })
	if v := h.look(); len(v.Evicted) != 1 || v.Evicted[0] != w.all[2].member.ID {
		t.Errorf("evicted are %v", v.Evicted)
	}
	clock.leap(time.Second)
	eventually(t, "who is missing to be gone", func() bool { return len(h.look().Members) == 1 })
}
