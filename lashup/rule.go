package lashup

import (
	"context"
	"os"

	"fulcrum.example/crux"
)

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
	paused, err := give(bounded, c.channel, o)
	if err != nil {
		l.log.Warn("the fabric could not be handed over and stays here", "to", c.hello.Inst, "why", err, "paused", paused)
		return false
	}
	l.log.Info("handed the fabric over", "to", c.hello.Inst, "paused", paused)
	o.lock.release()
	o.retire()
	l.retired.Go(func() { <-o.drained() })
	return true
}
