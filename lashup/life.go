package lashup

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"fulcrum.example/crux"
)

// engine is a running fabric with its store and its API.
type engine interface {
	owner
	// own lets writes in: the fabric is this process's.
	own()
	// retire ends what was handed over, once the successor serves; drained is
	// closed when the calls that were under way have ended.
	retire()
	drained() <-chan struct{}
	// failed gives what the engine cannot go on with.
	failed() <-chan error
	// close leaves the fabric and ends in good order.
	close() error
}

// maker makes engines.
type maker interface {
	// open starts anew from what is on disk, with an epoch above floor.
	open(ctx context.Context, floor uint64) (engine, error)
	// taking begins to take over from a running process.
	taking() taking
}

// taking is a taker that has an engine once take has returned nil.
type taking interface {
	taker
	engine() engine
}

const (
	// acquirePause is the wait before the next try to become the owner.
	// and acquireMost the longest, while the take-over fails.
	acquirePause = 50 * time.Millisecond
	acquireMost  = 10 * time.Second
	// standByPause is how often a process that stands by looks whether there is
	// an owner still, and orphaned how many times it must find none.
	standByPause = 250 * time.Millisecond
	orphaned     = 4
	// quitMost bounds a handover to a process that stands by, at the end.
	quitMost = 5 * time.Second
	// maxWaiting bounds the processes that stand by.
	maxWaiting   = 4
	standByEvery = 5 * time.Second
)

// life is one process of the service, from its start to its end.
type life struct {
	inst  crux.Inst
	quit  <-chan bool
	alive chan<- []crux.Fservice
	dir   string
	log   *slog.Logger
	horde crux.Horde
	make  maker

	token    []byte
	floor    uint64         // of epochs
	retired  sync.WaitGroup // engines that drain
	standing atomic.Int32   // how many processes stand by
}

// owned is a fabric that is this process's.
type owned struct {
	engine
	lock *lock
}

// run lives until quit. nil after an orderly end.
func (l *life) run() error {
	var err error
	if l.token, err = tokenOf(l.dir); err != nil {
		return err
	}
	defer l.retired.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-l.quit:
			cancel()
		case <-stop:
		}
	}()
	o, err := l.acquire(ctx)
	for o != nil && err == nil {
		at := o.offer().NetID
		gave, failed := l.rule(ctx, o)
		var r *renewal
		switch {
		case errors.As(failed, &r) && ctx.Err() == nil:
			l.log.Warn("the fabric begins anew, with a new epoch", "why", r.why)
			l.floor = max(l.floor, r.epoch)
			o, err = l.acquire(ctx)
		case failed != nil || !gave || ctx.Err() != nil:
			return failed
		default:
			o, err = l.standBy(ctx, at)
		}
	}
	return err
}

// acquire becomes the owner: of a fabric that nobody has, or by taking it over.
// nil: ctx ended before.
func (l *life) acquire(ctx context.Context) (*owned, error) {
	said, rest := "", acquirePause
	for ctx.Err() == nil {
		k, err := tryLock(l.dir)
		if err != nil {
			return nil, err
		}
		if k != nil {
			return l.open(ctx, k)
		}
		o, reached, err := l.call(ctx, atOnce, helloPatience)
		if err == nil {
			return o, nil
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			l.log.Warn("another lashup has this node's fabric, and it cannot be taken over yet", "why", err)
		}
		// Each handover that fails holds up writes for a moment.
		if rest = min(2*rest, acquireMost); !reached {
			rest = acquirePause
		}
		pause(ctx, rest)
	}
	return nil, nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// open starts anew, with the lock.
func (l *life) open(ctx context.Context, k *lock) (*owned, error) {
	e, err := l.make.open(ctx, l.floor)
	if err != nil {
		k.release()
		if ctx.Err() != nil {
			return nil, nil
		}
		return nil, err
	}
	e.own()
	return &owned{e, k}, nil
}

// call asks the owner for the fabric and takes it. reached says that the owner was
// there.
func (l *life) call(ctx context.Context, w when, patience time.Duration) (o *owned, reached bool, err error) {
	c, err := dialOwner(ctx, filepath.Join(l.dir, doorName), hello{handoverVersion, l.token, l.inst, w})
	if err != nil {
		return nil, false, err
	}
	defer c.Close()
	t := &lockTaking{taking: l.make.taking()}
	began := time.Now()
	if err := take(ctx, c, t, patience); err != nil {
		return nil, true, err
	}
	e := t.engine()
	e.own()
	l.log.Info("took the fabric over", "after", time.Since(began))
	return &owned{e, t.lock}, true, nil
}

// lockTaking takes the lock beside the fabric.
type lockTaking struct {
	taking
	lock *lock
}

func (t *lockTaking) openFabric(state []byte, files []*os.File) error {
	if len(files) == 0 {
		return crux.Errorf("take over", crux.Corrupt, "the lock is missing")
	}
	last := len(files) - 1
	t.lock = &lock{files[last]}
	return t.taking.openFabric(state, files[:last])
}

func (t *lockTaking) drop() {
	t.taking.drop()
	if t.lock != nil {
		t.lock.release()
	}
}
