package dean

import (
	"context"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	"fulcrum.example/crux"
	cwire "fulcrum.example/crux/wire"
	"fulcrum.example/proctor/wire"
	pb "fulcrum.example/protos/proctor"
)

// maxSessionBackoff is how often Backoff doubles between subscriptions.
const maxSessionBackoff = 3

// board holds the newest report. Run puts, the subscription takes.
type board struct {
	mu      sync.Mutex
	newest  wire.Report
	changed chan struct{} // capacity 1
}

func (b *board) put(r wire.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if reflect.DeepEqual(b.newest, r) {
		return
	}
	b.newest = r
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

func (b *board) get() wire.Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest
}

// subscribe follows the leader: wherever it is, dean listens there.
func (d *Dean) subscribe(ctx context.Context, lists chan<- list) {
	views := d.cfg.Members.Watch(ctx)
	var leader crux.Member
	var again <-chan time.Time // when to subscribe again
	var ended chan error       // nil: no session
	end := func() {}
	defer func() { end() }()
	tries := 0
	for {
		select {
		case v, ok := <-views:
			if !ok {
				return
			}
			m, _ := v.Member(v.Leader)
			if m.ID == leader.ID && m.Addr == leader.Addr && m.Incarnation == leader.Incarnation {
				continue
			}
			end()
			leader, tries, ended, again = m, 0, nil, nil
			end = func() {}
		case err := <-ended:
			end()
			ended, end = nil, func() {}
			if err == nil {
				tries = 0 // it was a good one
			}
			wait := d.cfg.Backoff << min(tries, maxSessionBackoff)
			tries++
			again = d.cfg.Clock.After(wait/2 + rand.N(wait))
			continue
		case <-again:
			again = nil
		}
		if !leader.ID.IsZero() && ended == nil {
			ended, end = d.session(ctx, leader, lists)
		}
	}
}

// session subscribes at one leader; what it returns says when it ended (nil for
// a session that had been accepted) and ends it.
func (d *Dean) session(ctx context.Context, leader crux.Member, lists chan<- list) (ended chan error, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended, gone := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(gone)
		heard, err := d.listen(ctx, leader, lists)
		if ctx.Err() == nil {
			d.log.Debug("the subscription at the leader ended", "leader", leader.ID, "err", err)
		}
		if heard {
			err = nil
		}
		ended <- err
	}()
	return ended, func() { cancel(); <-gone }
}

// listen holds one subscription; heard says that a list came.
func (d *Dean) listen(ctx context.Context, leader crux.Member, lists chan<- list) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := d.cfg.Dial(ctx, leader)
	if err != nil {
		return false, err
	}
	stream, err := pb.NewProctorClient(conn).Plan(ctx)
	if err != nil {
		return false, cwire.FromStatus(err)
	}
	in := receiver{done: make(chan struct{})}
	go func() {
		defer close(in.done)
		in.err = in.receive(ctx, d, stream, lists)
	}()
	for {
		// A failed Send says less than what the receiver gets to hear.
		failed := stream.Send(wire.ReportTo(d.board.get())) != nil
		if !failed {
			select {
			case <-d.board.changed:
				continue
			case <-in.done:
			}
		}
		<-in.done
		return in.heard, cwire.FromStatus(in.err)
	}
}

// receiver is the receiving half of a subscription; its fields are read once
// done is closed.
type receiver struct {
	done  chan struct{}
	heard bool
	err   error
}

func (in *receiver) receive(ctx context.Context, d *Dean, stream pb.Proctor_PlanClient, lists chan<- list) error {
	for {
		m, err := stream.Recv()
		if err == nil {
			err = d.hand(ctx, m, lists)
		}
		if err != nil {
			return err
		}
		in.heard = true
	}
}

// hand gives a list to Run and returns what it says.
func (d *Dean) hand(ctx context.Context, m *pb.Assignment, lists chan<- list) error {
	rev, units, err := wire.AssignmentFrom(m)
	if err != nil {
		return err
	}
	l := list{rev: rev, units: units, reply: make(chan error, 1)}
	select {
	case lists <- l:
	case <-ctx.Done():
		return ctx.Err()
	}
	err = <-l.reply // Run answers what it takes
	if err != nil {
		d.log.Warn("a list is refused", "err", err)
	}
	return err
}
