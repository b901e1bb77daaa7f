package lashup

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
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

// freeze adds the lock to what is handed over.
func (o *owned) freeze() ([]byte, []*os.File, error) {
	k, err := o.lock.file()
	if err != nil {
		return nil, nil, err
	}
	state, files, err := o.engine.freeze()
	return state, append(files, k), err
}

// rule is the time of this process as the owner. gave says that another process
// has the fabric now; otherwise it has ended.
func (l *life) rule(ctx context.Context, o *owned) (gave bool, err error) {
	d, err := openDoor(l.dir, l.token, l.log)
	if err != nil {
		return false, joinClose(err, o)
	}
	defer d.close()
	var waiting []caller
	defer func() {
		for _, c := range waiting {
			c.Close() // it calls again, at the next owner's
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return l.bequeath(o, waiting)
		case err := <-o.failed():
			return false, joinClose(err, o)
		case c := <-d.callers:
			if c.hello.When == later {
				waiting = append(waiting, c)
				if len(waiting) > maxWaiting {
					waiting[0].Close()
					waiting = waiting[1:]
				}
				l.standing.Store(int32(len(waiting)))
				continue
			}
			if l.give(ctx, o, c) {
				return true, nil
			}
		}
	}
}

// joinClose ends an engine that cannot go on.
func joinClose(err error, o *owned) error {
	if again := o.close(); again != nil {
		err = crux.Errorf("", crux.KindOf(err), "%w; and it does not end in good order: %w", err, again)
	}
	o.lock.release()
	return err
}

// bequeath hands the fabric to one that stands by, if there is one that takes
// it, and leaves otherwise.
func (l *life) bequeath(o *owned, waiting []caller) (gave bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), quitMost)
	defer cancel()
	for _, c := range waiting {
		if l.give(ctx, o, c) {
			return true, nil
		}
	}
	err = o.close()
	o.lock.release()
	return false, err
}

// give hands the fabric to a caller; false: it stays here.
func (l *life) give(ctx context.Context, o *owned, c caller) bool {
	defer c.Close()
	// A quit during the handover does not end it at once: it is the best way out.
	bounded, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { pause(bounded, quitMost); cancel() })
	defer stop()
	if err := give(bounded, c.channel, o); err != nil {
		l.log.Warn("the fabric could not be handed over and stays here", "to", c.hello.Inst, "why", err)
		return false
	}
	l.log.Info("handed the fabric over", "to", c.hello.Inst)
	o.lock.release()
	o.retire()
	l.retired.Go(func() { <-o.drained() })
	return true
}

// standBy waits, after this process has given the fabric away, until it is asked
// to quit (nil), or is to have the fabric again: because the owner quits, or is
// gone and nobody has taken its place.
func (l *life) standBy(ctx context.Context, at crux.NetID) (*owned, error) {
	beats, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() { l.beatStandBy(beats, at) })
	free := 0
	for ctx.Err() == nil {
		if o, _, err := l.call(ctx, later, forever); err == nil {
			return o, nil
		}
		pause(ctx, standByPause)
		k, err := tryLock(l.dir)
		switch {
		case err != nil:
			return nil, err
		case k == nil:
			free = 0
		default:
			if free++; free >= orphaned {
				return l.open(ctx, k)
			}
			k.release()
		}
	}
	return nil, nil
}

// standByInst is the instance under which a process of inst beats while it
// stands by: lashup-standby1_0 for lashup1_0. It keeps the process from being
// taken for dead, and no client looks for it.
func standByInst(inst crux.Inst) crux.Inst {
	name := strings.TrimRight(string(inst.API()), "0123456789")
	return crux.Inst(name + "-standby" + strings.TrimPrefix(string(inst), name))
}

// beatStandBy sends heartbeats of a process that stands by.
func (l *life) beatStandBy(ctx context.Context, at crux.NetID) {
	inst := standByInst(l.inst)
	beat := func(s crux.Status) []crux.Fservice {
		t := time.Now()
		return []crux.Fservice{{Horde: l.horde, API: inst.API(), Inst: inst, NetID: at, Issued: t, ValidUntil: t.Add(3 * standByEvery), Status: s}}
	}
	tick := time.NewTicker(standByEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case l.alive <- beat(crux.Serving):
		case <-ctx.Done():
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	last := time.NewTimer(standByPause)
	defer last.Stop()
	select {
	case l.alive <- beat(crux.Gone):
	case <-last.C:
	}
}
