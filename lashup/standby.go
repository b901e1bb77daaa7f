package lashup

import (
	"context"
	"strings"
	"sync"
	"time"

	"fulcrum.example/crux"
)

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
