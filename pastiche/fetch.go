package pastiche

import (
	"context"
	"fmt"
	"io"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/pastiche/plan"
)

const (
	maxConsults   = 3                      // arbiters tried before going on alone
	originTries   = 3                      // reads of the artifact store, when it fails midway
	firstRetry    = 200 * time.Millisecond // doubles
	progressEvery = time.Second            // of a reader to its arbiter
)

// flight is one fetch that is under way, shared by all who want the artifact.
type flight struct {
	done    chan struct{}
	path    string
	err     error
	waiters int
	cancel  context.CancelFunc
}

// Fetch makes the artifact present in the cache, verified, and returns its
// absolute path: from the cache, from peers, from the artifact store. Pin it
// first, or it may be evicted again. Errors: NotFound when nobody has it;
// Corrupt when whoever has it sends other bytes; Exhausted when it does not
// fit; Unavailable or Timeout when nobody could be asked.
func (p *Pastiche) Fetch(ctx context.Context, sum crux.Checksum) (string, error) {
	path, err := p.store.Path(ctx, sum)
	if k := crux.KindOf(err); err == nil || k != crux.NotFound && k != crux.Corrupt {
		return path, err
	}
	f, err := p.join(sum)
	if err != nil {
		return "", err
	}
	select {
	case <-f.done:
		return f.path, f.err
	case <-ctx.Done():
		p.leave(sum, f)
		return "", crux.Wrap("fetch "+sum.String(), ctx.Err())
	}
}

// join finds the flight of an artifact or starts one.
func (p *Pastiche) join(sum crux.Checksum) (*flight, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, crux.Errorf("fetch "+sum.String(), crux.Unavailable, "this node is shutting down")
	}
	if f, ok := p.flights[sum]; ok {
		f.waiters++
		return f, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &flight{done: make(chan struct{}), waiters: 1, cancel: cancel}
	p.flights[sum] = f
	p.group.Go(func() {
		defer cancel()
		f.err = p.pull(ctx, sum)
		if f.err == nil {
			f.path, f.err = p.store.Path(ctx, sum)
		}
		p.mu.Lock()
		if p.flights[sum] == f {
			delete(p.flights, sum)
		}
		p.mu.Unlock()
		close(f.done)
	})
	return f, nil
}

// leave gives up on a flight; the last to leave ends it.
func (p *Pastiche) leave(sum crux.Checksum, f *flight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.waiters--; f.waiters > 0 {
		return
	}
	f.cancel()
	if p.flights[sum] == f {
		delete(p.flights, sum)
	}
}

// pull gets an artifact into the cache as the arbiter advises, or alone where
// there is no arbiter to be heard.
func (p *Pastiche) pull(ctx context.Context, sum crux.Checksum) error {
	for _, m := range p.arbiters(sum) {
		d, err := p.consult(ctx, m, sum)
		if err != nil {
			p.log.Debug("an arbiter does not answer", "sum", sum, "node", m.ID, "err", err)
			continue
		}
		settled, err := p.follow(ctx, d, sum)
		d.close()
		if settled || ctx.Err() != nil {
			return err
		}
	}
	return p.lead(ctx, sum, func() {})
}

// follow does what an arbiter says until the artifact is here or the arbiter
// falls silent (settled is false then).
func (p *Pastiche) follow(ctx context.Context, d *desk, sum crux.Checksum) (settled bool, err error) {
	patience := p.cfg.Stagger + p.cfg.Stagger/2
	silent := time.NewTimer(openWait)
	defer silent.Stop()
	var again <-chan time.Time // when to ask busy holders again
	var e plan.Effect
	for {
		select {
		case <-ctx.Done():
			return true, crux.Wrap("fetch "+sum.String(), ctx.Err())
		case <-silent.C:
			return false, nil
		case next, ok := <-d.advice:
			if !ok {
				return false, nil
			}
			e = next
			silent.Reset(patience)
		case <-again:
			silent.Reset(patience)
		}
		again = nil
		switch e.Do {
		case plan.Pull:
			res := p.fromPeers(ctx, sum, e.Holders, d.progress(p.cfg.Clock))
			if res.err == nil {
				d.tell(news{done: true})
				return true, nil
			}
			if ctx.Err() == nil && len(res.missed) > 0 {
				d.tell(news{missed: res.missed})
			}
			if res.busy {
				again = p.cfg.Clock.After(jitter(100 * time.Millisecond))
			}
		case plan.Read:
			err := p.lead(ctx, sum, d.progress(p.cfg.Clock))
			d.tell(news{done: err == nil, failed: err != nil})
			return true, err
		}
	}
}

// lead gets an artifact without anybody's advice: from a few members that
// happen to have it, or from the artifact store.
func (p *Pastiche) lead(ctx context.Context, sum crux.Checksum, progress func()) error {
	var peers error
	if holders := p.askAround(ctx, sum); len(holders) > 0 {
		res := p.fromPeers(ctx, sum, holders, progress)
		if res.err == nil {
			return nil
		}
		peers = res.err
	}
	err := p.fromOrigin(ctx, sum, progress)
	if err != nil && peers != nil {
		return crux.Errorf("", crux.KindOf(err), "%w; and from peers: %v", err, peers)
	}
	return err
}

// fromOrigin reads the artifact store.
func (p *Pastiche) fromOrigin(ctx context.Context, sum crux.Checksum, progress func()) (err error) {
	op := "fetch " + sum.String()
	if p.cfg.Origin == nil {
		return crux.Errorf(op, crux.NotFound, "none of the members asked has it, and this node knows no artifact store")
	}
	for try := range originTries {
		if try > 0 {
			if err := p.sleep(ctx, jitter(firstRetry<<(try-1))); err != nil {
				return err
			}
		}
		err = p.readOrigin(ctx, sum, progress)
		switch crux.KindOf(err) {
		case crux.Unavailable, crux.Timeout:
			if err != nil && ctx.Err() == nil {
				continue
			}
		case crux.Corrupt:
			p.counts.badArtifacts.Add(1)
			return crux.Errorf(op, crux.Corrupt, "the copy in %s is damaged: publish it again (%w)", p.cfg.Origin, err)
		}
		return crux.Wrap(op, err)
	}
	return crux.Wrap(op, err)
}

func (p *Pastiche) readOrigin(ctx context.Context, sum crux.Checksum, progress func()) error {
	ctx, alive, stop := watchdog(ctx, p.cfg.Stagger, "the artifact store sent nothing for "+p.cfg.Stagger.String())
	defer stop()
	r, size, err := p.cfg.Origin.Get(ctx, sum)
	if err != nil {
		return stalled(ctx, err)
	}
	defer r.Close()
	counted := readFunc(func(b []byte) (int, error) {
		n, err := r.Read(b)
		p.counts.originBytes.Add(uint64(n))
		alive()
		progress()
		return n, err
	})
	if err := p.store.Put(ctx, sum, size, counted); err != nil {
		return stalled(ctx, err)
	}
	p.counts.originReads.Add(1)
	return nil
}

// readFunc is an io.Reader made of a function.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

var _ io.Reader = readFunc(nil)

// watchdog ends a context when alive was not called for d.
func watchdog(ctx context.Context, d time.Duration, why string) (_ context.Context, alive, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	t := time.AfterFunc(d, func() { cancel(crux.Errorf("", crux.Timeout, "%s", why)) })
	return ctx, func() { t.Reset(d) }, func() { t.Stop(); cancel(nil) }
}

// stalled prefers a watchdog's word to the bare "context canceled" that it
// caused.
func stalled(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && cause != ctx.Err() {
		return cause
	}
	return err
}

func (p *Pastiche) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-p.cfg.Clock.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("gave up: %w", ctx.Err())
	}
}
