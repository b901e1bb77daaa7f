package dean

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/proctor/wire"
)

// maxBackoff is how often Backoff doubles.
const maxBackoff = 6

// list is what proctor sent; the answer says whether it was accepted.
type list struct {
	rev   crux.Revision
	units []crux.Unit
	reply chan error // capacity 1
}

// task is what is to be done about one unit.
type task struct {
	want  *crux.Unit // nil: it should not run
	have  *crux.Unit // nil: dean did not start it
	sure  bool       // it was started in this Run, and picket lists it
	doing string     // what is under way, "" for nothing
	tries int
	next  time.Time // not before
	err   error     // of the last try
	pins  map[crux.Checksum]bool
}

// result is how an action ended.
type result struct {
	key  crux.UnitKey
	stop bool
	unit crux.Unit // that was started
	err  error
}

// conformer makes the node conform. The goroutine of Run owns it; each unit has
// at most one action under way, in a goroutine of its own.
type conformer struct {
	d       *Dean
	group   *sync.WaitGroup
	tasks   map[crux.UnitKey]*task
	results chan result
}

func newConformer(d *Dean, group *sync.WaitGroup) *conformer {
	return &conformer{d: d, group: group, tasks: make(map[crux.UnitKey]*task), results: make(chan result)}
}

func (c *conformer) task(k crux.UnitKey) *task {
	t, ok := c.tasks[k]
	if !ok {
		t = &task{pins: make(map[crux.Checksum]bool)}
		c.tasks[k] = t
	}
	return t
}

// start takes over what is on disk.
func (c *conformer) start() {
	for _, u := range c.d.file.Started {
		t := c.task(u.Key())
		t.have = &u
		c.pin(t, u)
	}
	c.want(c.d.file.Units)
}

// want makes units what should run.
func (c *conformer) want(units []crux.Unit) {
	for _, t := range c.tasks {
		t.want = nil
	}
	for _, u := range units {
		t := c.task(u.Key())
		t.want = &u
	}
	for _, t := range c.tasks {
		t.tries, t.next = 0, time.Time{}
	}
}

// accept takes a list unless it is another flock's, or older than the one that
// is kept, or cannot be kept on disk.
func (c *conformer) accept(l list) error {
	const op = "accept list"
	kept := c.d.file.saved
	switch flock := c.d.cfg.Members.View().Flock; {
	case l.rev.Flock != flock:
		return crux.Errorf(op, crux.Conflict, "the list is of flock %s, this node is in %s", l.rev.Flock, flock)
	case l.rev.Before(kept.Revision):
		return crux.Errorf(op, crux.Conflict, "the list (epoch %d, %d) is older than the one kept (epoch %d, %d)",
			l.rev.Epoch, l.rev.N, kept.Revision.Epoch, kept.Revision.N)
	case l.rev == kept.Revision && slices.Equal(l.units, kept.Units):
		return nil
	case l.rev == kept.Revision:
		return crux.Errorf(op, crux.Conflict, "two lists under one revision (epoch %d, %d)", l.rev.Epoch, l.rev.N)
	}
	kept.Revision, kept.Units = l.rev, l.units
	if err := c.d.file.save(kept); err != nil {
		return err
	}
	c.d.log.Info("a new list", "epoch", l.rev.Epoch, "n", l.rev.N, "units", len(l.units))
	c.want(l.units)
	return nil
}

// docsChanged lets what was refused for lack of documents be tried at once.
func (c *conformer) docsChanged() {
	for _, t := range c.tasks {
		if t.err != nil && crux.KindOf(t.err) == crux.Denied {
			t.next = time.Time{}
		}
	}
}

// unitsChanged notices units that picket no longer lists.
func (c *conformer) unitsChanged() {
	listed := c.listed()
	for k, t := range c.tasks {
		t.sure = t.sure && listed[k]
	}
}

// listed are the units that picket lists.
func (c *conformer) listed() map[crux.UnitKey]bool {
	listed := make(map[crux.UnitKey]bool)
	for _, s := range c.d.cfg.Runner.Units() {
		listed[s.Key()] = true
	}
	return listed
}

// conform begins what is to be done and not under way.
func (c *conformer) conform(ctx context.Context) {
	now := c.d.cfg.Clock.Now()
	for k, t := range c.tasks {
		switch {
		case t.doing != "" || now.Before(t.next):
		case t.want == nil && t.have == nil:
			c.unpin(t, crux.Checksum{})
			delete(c.tasks, k)
		case t.want == nil:
			c.stop(ctx, k, t)
		case t.have == nil || !t.sure || *t.have != *t.want:
			c.begin(ctx, k, t)
		default: // as it should be
			t.tries, t.next, t.err = 0, time.Time{}, nil
		}
	}
}

// begin verifies a unit, notes it on disk, and starts it.
func (c *conformer) begin(ctx context.Context, k crux.UnitKey, t *task) {
	u := *t.want
	if err := verify(c.d.cfg.Docs, u, c.d.file.Started); err != nil {
		c.failed(k, t, crux.Wrap("verify "+string(u.Inst), err))
		return
	}
	// What runs under the same name must be gone before its successor is noted.
	replace := t.have != nil && *t.have != u
	if !replace {
		if err := c.note(&u, k); err != nil {
			c.failed(k, t, err)
			return
		}
	}
	c.pin(t, u)
	t.doing = "fetching"
	if replace {
		t.doing = "replacing"
	}
	c.group.Go(func() { c.send(ctx, result{key: k, unit: u, stop: replace, err: c.run(ctx, u, replace)}) })
}

// run fetches a unit and starts it; where it replaces one of the same name, it
// only stops that one, and the next round starts it.
func (c *conformer) run(ctx context.Context, u crux.Unit, replace bool) error {
	if u.Kind.HasArtifact() {
		if _, err := c.d.cfg.Artifacts.Fetch(ctx, u.Checksum); err != nil {
			return err
		}
	}
	if replace {
		return c.d.cfg.Runner.Stop(ctx, u.Key())
	}
	return c.d.cfg.Runner.Start(ctx, u)
}

func (c *conformer) stop(ctx context.Context, k crux.UnitKey, t *task) {
	t.doing = "stopping"
	c.group.Go(func() { c.send(ctx, result{key: k, stop: true, err: c.d.cfg.Runner.Stop(ctx, k)}) })
}

func (c *conformer) send(ctx context.Context, r result) {
	select {
	case c.results <- r:
	case <-ctx.Done():
	}
}

// ended notes how an action ended.
func (c *conformer) ended(r result) {
	t := c.task(r.key)
	t.doing = ""
	err := r.err
	if err == nil && r.stop {
		if err = c.note(nil, r.key); err == nil {
			t.have, t.sure = nil, false
		}
	}
	if err != nil {
		c.failed(r.key, t, err)
		return
	}
	t.tries, t.err, t.next = 0, nil, time.Time{}
	if r.stop {
		c.d.log.Info("a unit is stopped", "inst", r.key.Inst, "horde", r.key.Horde)
		return
	}
	// It may have been lost since, and picket have said so before this was known.
	t.have, t.sure = &r.unit, c.listed()[r.key]
	c.unpin(t, r.unit.Checksum)
	c.d.log.Info("a unit is started", "inst", r.key.Inst, "horde", r.key.Horde, "artifact", r.unit.Checksum)
}

// failed notes an error and when to try again.
func (c *conformer) failed(k crux.UnitKey, t *task, err error) {
	if t.err == nil || t.err.Error() != err.Error() {
		c.d.log.Warn("a unit waits", "inst", k.Inst, "horde", k.Horde, "err", err)
	}
	t.err = err
	t.next = c.d.cfg.Clock.Now().Add(c.d.cfg.Backoff << min(t.tries, maxBackoff))
	t.tries++
}

// note keeps on disk that a unit was started (or, for nil, that it is gone).
func (c *conformer) note(u *crux.Unit, k crux.UnitKey) error {
	s := c.d.file.saved
	if u != nil && slices.Contains(s.Started, *u) {
		return nil
	}
	s.Started = slices.DeleteFunc(slices.Clone(s.Started), func(o crux.Unit) bool { return o.Key() == k })
	if u != nil {
		s.Started = append(s.Started, *u)
	}
	return c.d.file.save(s)
}

func (c *conformer) pin(t *task, u crux.Unit) {
	if !u.Checksum.IsZero() && !t.pins[u.Checksum] {
		t.pins[u.Checksum] = true
		c.d.cfg.Artifacts.Pin(u.Checksum)
	}
}

// unpin lets go of all artifacts of a task but one.
func (c *conformer) unpin(t *task, but crux.Checksum) {
	for sum := range t.pins {
		if sum != but {
			delete(t.pins, sum)
			c.d.cfg.Artifacts.Unpin(sum)
		}
	}
}

// wake says when the next try is due; nil: nothing waits.
func (c *conformer) wake() <-chan time.Time {
	var first time.Time
	for _, t := range c.tasks {
		if t.doing == "" && !t.next.IsZero() && (first.IsZero() || t.next.Before(first)) {
			first = t.next
		}
	}
	if first.IsZero() {
		return nil
	}
	return c.d.cfg.Clock.After(max(0, first.Sub(c.d.cfg.Clock.Now())))
}

// report says what this node has and how it fares.
func (c *conformer) report() wire.Report {
	r := wire.Report{
		Node:     c.d.cfg.Members.View().Self,
		Accepted: c.d.file.Revision,
		Wanted:   c.d.file.Units,
		Intents:  make(map[string]uint64),
	}
	for _, d := range c.d.cfg.Docs.List(crux.IntentDoc) {
		r.Intents[d.Name] = d.Version
	}
	running := make(map[crux.UnitKey]crux.UnitStatus)
	for _, s := range c.d.cfg.Runner.Units() {
		running[s.Key()] = s
	}
	keys := slices.SortedFunc(maps.Keys(c.tasks), func(a, b crux.UnitKey) int {
		return cmp.Or(cmp.Compare(a.Horde, b.Horde), a.Inst.Compare(b.Inst))
	})
	for _, k := range keys {
		r.Units = append(r.Units, c.tasks[k].status(running[k]))
	}
	return r
}

// status is picket's word on a unit, with dean's own where that says more.
func (t *task) status(s crux.UnitStatus) crux.UnitStatus {
	if s.State == "" {
		if t.want != nil {
			s.Unit = *t.want
		} else if t.have != nil {
			s.Unit = *t.have
		}
		s.State = "waiting"
		if t.doing != "" {
			s.State = t.doing
		}
	}
	if t.err != nil {
		s.Error = t.err.Error()
	}
	return s
}
