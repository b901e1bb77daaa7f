package fabric

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"fulcrum.example/crux"
)

// errEnough ends a stream whose receiver wants no more.
var errEnough = errors.New("enough")

// again ends a stream that is to be opened again after a while.
type again struct{ after time.Duration }

func (again) Error() string { return "again" }

// keep runs once, which opens a stream and receives from it until it breaks,
// again and again. It returns nil when the receiver has had enough, and
// otherwise what cannot be helped: an error of another kind than those that
// pass, the end of ctx, or, before the first stream was open, any but a
// lashup's word that it is being replaced.
func (c *Client) keep(ctx context.Context, once func(ctx context.Context, opened func()) error) error {
	ever := false
	pause := firstPause
	trouble := trouble{tell: c.trouble}
	defer trouble.over(false)
	for {
		err := func() error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			return once(ctx, func() {
				ever, pause = true, firstPause
				trouble.over(true)
			})
		}()
		var a again
		after, refused := retryAfter(err)
		switch {
		case errors.Is(err, errEnough):
			return nil
		case ctx.Err() != nil:
			return crux.Wrap("follow", ctx.Err())
		case errors.As(err, &a):
			pause = max(a.after, firstPause)
		case refused:
			pause = after
		case !ever || !passes(err):
			return err
		}
		trouble.begin(err)
		if err := rest(ctx, pause); err != nil {
			return crux.Wrap("follow", err)
		}
		pause = min(2*pause, maxPause)
	}
}

// troubleAfter is how long a stream is broken until its user is told.
const troubleAfter = 2 * time.Second

// OnTrouble has f called when a stream (of Watch, WatchMembers or a Subscription) has
// been broken for two seconds, with the reason, and when it goes on, with nil. Call it
// before the first stream is opened. f may be called from any goroutine, of one stream
// by one at a time; it must not wait for the stream.
func (c *Client) OnTrouble(f func(why error)) { c.trouble = f }

// trouble is a time in which a stream is broken.
type trouble struct {
	tell func(why error)

	mu    sync.Mutex
	timer *time.Timer // nil: there is none
	told  bool
}

func (t *trouble) begin(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tell == nil || t.timer != nil {
		return
	}
	var mine *time.Timer
	mine = time.AfterFunc(troubleAfter, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.timer == mine {
			t.told = true
			t.tell(why)
		}
	})
	t.timer = mine
}

func (t *trouble) over(mended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer == nil {
		return
	}
	t.timer.Stop()
	if t.told && mended {
		t.tell(nil)
	}
	t.timer, t.told = nil, false
}

// passes says whether a stream that ended so is to be opened again.
func passes(err error) bool {
	if errors.Is(err, io.EOF) {
		return true
	}
	switch crux.KindOf(err) {
	case crux.Unavailable, crux.Canceled, crux.Timeout:
		return true
	}
	return false
}
