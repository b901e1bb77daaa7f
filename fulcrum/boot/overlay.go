package boot

import (
	"context"
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

// How long the flock is to be calm before the built-in children start, and how
// long that is waited for.
const (
	calmFor  = 500 * time.Millisecond
	calmMost = 3 * time.Second
)

// awaitCalm waits until this node's flock has been the same for a while: with a
// leader, a whole list, and as many members. When many nodes start at once they find each other in a second
// or so, and what is built on the flock then begins with all of them, once.
func (n *Node) awaitCalm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, calmMost)
	defer cancel()
	var flock crux.FlockID
	members := 0
	var calm <-chan time.Time
	views := n.flock.Watch(ctx)
	for {
		select {
		case v, ok := <-views:
			switch {
			case !ok:
				return // it has taken too long
			case !v.Synced || v.Leader.IsZero():
				flock, calm = crux.FlockID{}, nil
			case v.Flock != flock || len(v.Members) != members:
				flock, members, calm = v.Flock, len(v.Members), time.After(calmFor)
			}
		case <-calm:
			return
		}
	}
}

// runChildren keeps the built-in children running, or what overlays them, until
// ctx ends.
func (n *Node) runChildren(ctx context.Context) {
	n.awaitCalm(ctx)
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
