package boot

import (
	"context"
	"math/rand/v2"
	"time"

	"fulcrum.example/crux"
)

// platform lists the APIs that the platform's own processes talk to each other.
var platform = []crux.API{"lashup1"}

// childUnit is a built-in that runs in a process of its own.
func childUnit(inst crux.Inst) crux.Unit {
	return crux.Unit{Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, Kind: crux.BuiltinChild, Func: exported(inst)}
}

// overlay decides about one built-in child: newer versions of it, from artifacts
// or from the fulcrum before, take its place while they serve, and give it back
// when they go. Older built-ins (of a fulcrum that was upgraded) go once this one
// serves.
func overlay(units []crux.UnitStatus, own crux.Unit) (start bool, stop []crux.UnitKey) {
	runs, serves, covered := false, false, false
	var older []crux.UnitKey
	for _, u := range units {
		if u.Horde != own.Horde || u.API != own.API {
			continue
		}
		switch c := u.Inst.Compare(own.Inst); {
		case c == 0:
			runs, serves = true, u.State == "serving"
		case c > 0:
			covered = covered || u.State == "serving"
		case u.Kind == crux.BuiltinChild && u.State != "draining":
			older = append(older, u.Key())
		}
	}
	switch {
	case covered && runs:
		stop = append(stop, own.Key())
	case !covered && !runs:
		start = true
	}
	if serves || covered {
		stop = append(stop, older...)
	}
	return start, stop
}

// When the built-in children start: once the flock has been calm for calmFor
// (aloneFor, if this node is its only member), or after calmMost; then within
// startEach for each member, so that those of a large bloc do not all ask the same
// at once; and while this machine is starved, as when it runs many nodes, not before
// starvedMost is over.
const (
	calmFor     = 500 * time.Millisecond
	aloneFor    = 1500 * time.Millisecond
	calmMost    = 4 * time.Second
	startEach   = 20 * time.Millisecond
	startMost   = time.Second
	starvedMost = 5 * time.Second
	// One of so many timers of sampleFor that is late by starvedBy says that it is.
	samples   = 5
	sampleFor = 20 * time.Millisecond
	starvedBy = 10 * time.Millisecond
)

// awaitTurn waits until it is time for the built-in children to start. When many
// nodes start at once they find each other in a second or so, and what is built on
// the flock then begins with all of them, once.
func (n *Node) awaitTurn(ctx context.Context) {
	members := n.awaitCalm(ctx)
	pause(ctx, rand.N(min(time.Duration(members)*startEach, startMost)))
	for end := time.Now().Add(starvedMost); starved(ctx) && time.Now().Before(end); {
		pause(ctx, 5*sampleFor+rand.N(10*sampleFor))
	}
}

// awaitCalm waits until this node's flock has been the same for a while: with a
// leader, a whole list, and as many members. It says how many.
func (n *Node) awaitCalm(ctx context.Context) (members int) {
	ctx, cancel := context.WithTimeout(ctx, calmMost)
	defer cancel()
	var flock crux.FlockID
	var calm <-chan time.Time
	members = 1
	views := n.flock.Watch(ctx)
	for {
		select {
		case v, ok := <-views:
			switch {
			case !ok:
				return members // it has taken too long
			case !v.Synced || v.Leader.IsZero():
				flock, calm = crux.FlockID{}, nil
			case v.Flock != flock || len(v.Members) != members:
				flock, members, calm = v.Flock, len(v.Members), time.After(calmFor)
				if members == 1 {
					calm = time.After(aloneFor)
				}
			}
		case <-calm:
			return members
		}
	}
}

// starved says whether this process does not get the processor when it wants to.
func starved(ctx context.Context) bool {
	for range samples {
		begun := time.Now()
		pause(ctx, sampleFor)
		if ctx.Err() == nil && time.Since(begun) > sampleFor+starvedBy {
			return true
		}
	}
	return false
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// runChildren keeps the built-in children running, or what overlays them, until
// ctx ends.
func (n *Node) runChildren(ctx context.Context) {
	n.awaitTurn(ctx)
	for range n.picket.Watch(ctx) {
		for _, inst := range n.cfg.Children {
			own := childUnit(inst)
			start, stop := overlay(n.picket.Units(), own)
			if start {
				if err := n.picket.Start(ctx, own); err != nil && ctx.Err() == nil {
					n.cfg.Log.Warn("a built-in does not start; it is tried again", "inst", inst, "why", err)
				}
			}
			for _, k := range stop {
				n.cfg.Log.Info("another version has taken a built-in's place", "inst", k.Inst)
				if err := n.picket.Stop(ctx, k); err != nil && ctx.Err() == nil {
					n.cfg.Log.Warn("a built-in does not stop", "inst", k.Inst, "why", err)
				}
			}
		}
	}
}
