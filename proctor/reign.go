package proctor

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/proctor/rollout"
	pwire "fulcrum.example/proctor/wire"
)

const (
	planDelay = 50 * time.Millisecond // gathers events before a plan
	planEvery = time.Second           // without events: time passes too
	maxHold   = 30 * time.Second      // how long an unseen newer intent holds its API
)

// intentKey names an intent.
type intentKey struct {
	horde crux.Horde
	api   crux.API
}

// reign is the time during which this node acts as leader of one flock. Its
// run method owns all fields but progress.
type reign struct {
	p     *Proctor
	flock crux.FlockID
	epoch uint64
	n     uint64 // of the last revision given out

	events chan event
	done   chan struct{} // closed when run ends

	view     *crux.View
	since    time.Time // of the reign
	moved    time.Time // of the last change of members
	settled  bool
	nodes    map[crux.NodeID]*node
	intents  []crux.Intent
	versions map[string]uint64 // of intents, by HORDE/API
	muster   []crux.Function
	newer    map[string]time.Time // intents of which a node knows more, and since when
	snap     crux.Snapshot

	mu       sync.Mutex
	ready    bool // settled, for those who ask for progress
	progress map[intentKey]rollout.Progress
}

// node is what a reign remembers of one node.
type node struct {
	sub      *subscription // nil while its dean does not listen
	report   pwire.Report
	known    bool // assigned is its dean's word, or what it was sent
	assigned []crux.Unit
	rev      crux.Revision // at which assigned last changed
	away     time.Time     // since when it is not ready; zero: it is
	gone     bool          // it was replaced
	returned bool          // it was gone and is back
}

// subscription is one dean's stream.
type subscription struct {
	node     crux.NodeID
	lists    chan list     // capacity 1, newest wins
	replaced chan struct{} // closed when the same dean subscribes again
	sent     crux.Revision // of the newest list put into lists
	started  bool          // a list was put there
}

// list is what a node should run.
type list struct {
	rev   crux.Revision
	units []crux.Unit
}

// event is a dean's: a report, or the end of its stream.
type event struct {
	sub    *subscription
	report pwire.Report
	left   bool
}

func newReign(p *Proctor, v *crux.View, n uint64) *reign {
	now := p.cfg.Clock.Now()
	return &reign{
		p: p, flock: v.Flock, epoch: v.Epoch, n: n, view: v, since: now, moved: now,
		events: make(chan event), done: make(chan struct{}),
		nodes: make(map[crux.NodeID]*node), newer: make(map[string]time.Time),
	}
}

// tell hands an event to the reign; false when the reign or ctx has ended.
func (r *reign) tell(ctx context.Context, e event) bool {
	select {
	case r.events <- e:
		return true
	case <-r.done:
	case <-ctx.Done():
	}
	return false
}

// run plans until ctx ends.
func (r *reign) run(ctx context.Context) {
	defer close(r.done)
	views := r.p.cfg.Members.Watch(ctx)
	docs := r.p.cfg.Docs.Watch(ctx)
	rows := r.p.cfg.Registry.Watch(ctx, crux.Selector{})
	var soon <-chan time.Time
	tick := r.p.cfg.Clock.After(planEvery)
	for {
		changed := true
		select {
		case <-ctx.Done():
			return
		case v, ok := <-views:
			if ok {
				r.follow(v)
			} else {
				views = nil
			}
		case _, ok := <-docs:
			if ok {
				r.readDocs()
			} else {
				docs = nil
			}
		case s, ok := <-rows:
			if ok {
				r.snap = s
			} else {
				rows = nil
			}
		case e := <-r.events:
			r.hear(e)
		case <-tick:
			tick = r.p.cfg.Clock.After(planEvery)
		case <-soon:
			soon, changed = nil, false
			r.plan()
		}
		if changed && soon == nil {
			soon = r.p.cfg.Clock.After(planDelay)
		}
	}
}

// follow takes over a new view. Lists that are made from now on bear its epoch.
func (r *reign) follow(v *crux.View) {
	if v.Acting && v.Flock == r.flock {
		r.epoch = max(r.epoch, v.Epoch)
	}
	same := slices.EqualFunc(r.view.Members, v.Members, func(a, b crux.Member) bool {
		return a.ID == b.ID && a.Incarnation == b.Incarnation && a.State == b.State
	})
	if !same {
		r.moved = r.p.cfg.Clock.Now()
	}
	r.view = v
}

// readDocs reads intents and muster anew.
func (r *reign) readDocs() {
	r.intents, r.muster, r.versions = nil, nil, make(map[string]uint64)
	for _, d := range r.p.cfg.Docs.List(crux.IntentDoc) {
		i, err := d.Intent()
		if err != nil {
			r.p.log.Error("an intent cannot be read and is left out", "name", d.Name, "err", err)
			continue
		}
		r.intents = append(r.intents, i)
		r.versions[d.Name] = d.Version
	}
	for _, d := range r.p.cfg.Docs.List(crux.MusterDoc) {
		f, err := d.Function()
		if err != nil {
			r.p.log.Error("a muster row cannot be read and is left out", "name", d.Name, "err", err)
			continue
		}
		r.muster = append(r.muster, f)
	}
}

// hear takes a dean's report, or the end of its stream.
func (r *reign) hear(e event) {
	n := r.node(e.sub.node)
	if e.left {
		if n.sub == e.sub {
			n.sub = nil
		}
		return
	}
	if n.sub != e.sub {
		if e.sub.isReplaced() {
			return // a late word on a stream that was replaced
		}
		if n.sub != nil {
			close(n.sub.replaced)
		}
		n.sub = e.sub
	}
	n.report = e.report
	if !n.known {
		n.known, n.assigned = true, e.report.Wanted
	}
}

func (s *subscription) isReplaced() bool {
	select {
	case <-s.replaced:
		return true
	default:
		return false
	}
}

func (r *reign) node(id crux.NodeID) *node {
	n, ok := r.nodes[id]
	if !ok {
		n = &node{}
		r.nodes[id] = n
	}
	return n
}

// plan computes the lists and gives out those that changed.
func (r *reign) plan() {
	now := r.p.cfg.Clock.Now()
	r.judge(now)
	if !r.settled {
		if r.settled = r.hasSettled(now); !r.settled {
			return
		}
		r.p.log.Info("proctor plans", "nodes", len(r.nodes), "intents", len(r.intents), "after", now.Sub(r.since))
	}
	out := rollout.Plan(r.input(now))
	r.assign(out)
	r.publish(out.Progress)
}

// hasSettled says whether enough was heard to plan for the first time.
func (r *reign) hasSettled(now time.Time) bool {
	settle, reigning := r.p.cfg.Settle, now.Sub(r.since)
	if reigning >= 5*settle {
		return true
	}
	if now.Sub(r.moved) < settle || !r.view.Synced {
		return false
	}
	if reigning >= 3*settle {
		return true
	}
	for _, m := range r.view.Members {
		if m.State == crux.Alive && r.node(m.ID).sub == nil {
			return false
		}
	}
	return r.snap.Whole
}

// judge notes which nodes are away, and since when: members, nodes that were
// heard of in this reign, and owners of rows.
func (r *reign) judge(now time.Time) {
	serves := make(map[crux.NodeID]bool)
	for i := range r.snap.Rows {
		row := &r.snap.Rows[i]
		r.node(row.Node)
		serves[row.Node] = serves[row.Node] || row.Status == crux.Serving
	}
	for _, m := range r.view.Members {
		r.node(m.ID)
	}
	for id, n := range r.nodes {
		m, member := r.view.Member(id)
		if member && m.State == crux.Alive && n.sub != nil {
			n.returned = n.returned || n.gone
			n.away, n.gone = time.Time{}, false
			continue
		}
		if n.away.IsZero() {
			n.away = now
		}
		lost := !member || m.State == crux.Lost
		since := now.Sub(n.away)
		if !n.gone && (lost && since >= r.p.cfg.Grace || since >= 2*r.p.cfg.Grace && !serves[id]) {
			n.gone = true
			r.p.log.Warn("a node is away for too long: its replicas go elsewhere", "node", id, "away", since)
		}
		if n.gone && !member && n.sub == nil && !serves[id] && since >= 10*r.p.cfg.Grace {
			delete(r.nodes, id) // it will be asked what it runs when it comes back
		}
	}
}

// input gathers what the plan depends on.
func (r *reign) input(now time.Time) rollout.Input {
	in := rollout.Input{Leader: r.view.Leader, Intents: r.intents, Muster: r.muster, Rows: r.snap.Rows, Hold: r.holds(now)}
	for id, n := range r.nodes {
		state := rollout.Ready
		switch {
		case n.gone:
			state = rollout.Gone
		case !n.away.IsZero():
			state = rollout.Away
		}
		in.Nodes = append(in.Nodes, rollout.Node{
			ID: id, State: state, Known: n.known, Assigned: n.assigned, Returned: n.returned, Units: n.report.Units,
		})
	}
	slices.SortFunc(in.Nodes, func(a, b rollout.Node) int { return a.ID.Compare(b.ID) })
	return in
}

// holds names the intents of which some node's reeve has a newer version than
// ours: ours will follow, and nothing is changed by an outdated one. A claim
// that nothing follows is not believed for ever.
func (r *reign) holds(now time.Time) map[string]string {
	holds, claimed := make(map[string]string), make(map[string]bool)
	for id, n := range r.nodes {
		if n.sub == nil {
			continue
		}
		for name, v := range n.report.Intents {
			if v <= r.versions[name] {
				continue
			}
			claimed[name] = true
			since, ok := r.newer[name]
			if !ok {
				since = now
				r.newer[name] = now
			}
			if now.Sub(since) < maxHold {
				holds[name] = "node " + id.String() + " knows a newer intent that has not arrived here yet"
			}
		}
	}
	for name := range r.newer {
		if !claimed[name] {
			delete(r.newer, name)
		}
	}
	return holds
}

// assign remembers the new lists and puts them into the mailboxes of the nodes
// that listen. A revision never names two different lists of one node.
func (r *reign) assign(out rollout.Output) {
	next := crux.Revision{Flock: r.flock, Epoch: r.epoch, N: r.n + 1}
	for id, units := range out.Assigned {
		n := r.nodes[id]
		if !n.known || slices.Equal(n.assigned, units) && !n.rev.Flock.IsZero() {
			continue
		}
		n.assigned, n.rev, r.n = units, next, next.N
	}
	for _, n := range r.nodes {
		if !n.away.IsZero() || n.sub == nil {
			continue
		}
		n.returned = false
		if n.sub.started && n.sub.sent == n.rev {
			continue
		}
		n.sub.started, n.sub.sent = true, n.rev
		select {
		case <-n.sub.lists: // an older one that was not taken
		default:
		}
		n.sub.lists <- list{n.rev, n.assigned}
	}
}

// publish makes progress known, and logs what changed.
func (r *reign) publish(all []rollout.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.progress
	r.ready, r.progress = true, make(map[intentKey]rollout.Progress, len(all))
	for _, pr := range all {
		key := intentKey{pr.Horde, pr.API}
		r.progress[key] = pr
		if was := old[key]; was.Text() != pr.Text() {
			r.p.log.Info("rollout", "horde", pr.Horde, "api", pr.API, "progress", pr.Text())
		}
	}
}

func (r *reign) progressOf(horde crux.Horde, api crux.API) (rollout.Progress, error) {
	const op = "ask for progress"
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ready {
		return rollout.Progress{}, crux.Errorf(op, crux.Unavailable, "the leader is new and gathers reports")
	}
	pr, ok := r.progress[intentKey{cmp.Or(horde, crux.DefaultHorde), api}]
	if !ok {
		return rollout.Progress{}, crux.Errorf(op, crux.NotFound, "there is no intent for %s in horde %s", api, cmp.Or(horde, crux.DefaultHorde))
	}
	return pr, nil
}
