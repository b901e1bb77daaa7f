package boot

import (
	"context"
	"log/slog"

	"fulcrum.example/crux"
)

// narrate logs what becomes of the flock, for whoever reads the log afterwards:
// its leader, who comes and who goes, and why others may not be in it.
func (n *Node) narrate(ctx context.Context) {
	log := n.cfg.Log.With("part", "flock")
	last := &crux.View{Self: n.id}
	for v := range n.flock.Watch(ctx) {
		tellMembers(log, last, v)
		if v.Leader != last.Leader || v.Flock != last.Flock {
			leader, _ := v.Member(v.Leader)
			switch {
			case v.Leader.IsZero():
				log.Warn("the flock has no leader", "flock", v.Flock, "members", len(v.Members))
			case v.Leader == v.Self:
				log.Info("this node leads", "flock", v.Flock, "epoch", v.Epoch, "members", len(v.Members))
			default:
				log.Info("the leader", "node", v.Leader, "addr", leader.Addr, "flock", v.Flock, "epoch", v.Epoch, "members", len(v.Members))
			}
		}
		told := make(map[string]bool, len(last.Hints))
		for _, h := range last.Hints {
			told[h.Text] = true
		}
		for _, h := range v.Hints {
			if !told[h.Text] {
				log.Warn(h.Text, "authenticated", h.Authenticated, "from", h.From)
			}
		}
		last = v
	}
}

// maxTold is how many members that come or go at once are logged one by one.
const maxTold = 10

// tellMembers logs who is in now and was not in last, and the other way round.
func tellMembers(log *slog.Logger, last, now *crux.View) {
	tell := func(what string, from, to *crux.View) {
		var gone []crux.Member
		for _, m := range from.Members {
			if _, ok := to.Member(m.ID); !ok && m.ID != now.Self {
				gone = append(gone, m)
			}
		}
		if len(gone) > maxTold {
			log.Info(what, "nodes", len(gone), "members", len(now.Members))
			return
		}
		for _, m := range gone {
			log.Info(what, "node", m.ID, "addr", m.Addr, "members", len(now.Members))
		}
	}
	tell("a member came", now, last)
	tell("a member is gone", last, now)
}
