package heartbeat

import (
	"net/netip"
	"strings"
	"time"

	"fulcrum.example/crux"
)

const (
	// maxHold bounds how long one beat holds, whatever it says.
	maxHold = 2 * time.Minute
	// maxEndpoints bounds how many endpoints one unit has at a time.
	maxEndpoints = 256
)

// Rules say which endpoints a unit may name.
type Rules struct {
	// IP is the node's own address.
	IP netip.Addr
	// MayServe says which instances a unit may serve besides its own. Nil:
	// those whose name begins with the unit's own service name and a hyphen, as
	// reeve/keys has it (galumph2_3 may serve galumph-admin1_0).
	MayServe func(caller string, horde crux.Horde, inst crux.Inst) bool
}

// Endpoint names one endpoint of this node.
type Endpoint struct {
	Horde crux.Horde
	Inst  crux.Inst
	NetID crux.NetID
}

// Change is what became of an endpoint: it has Status now; Gone means that it
// is withdrawn.
type Change struct {
	Owner  crux.UnitKey
	At     Endpoint
	Status crux.Status
	Flock  crux.FlockID
	Until  time.Time // when it expires unless there are more beats
	// Missed: it is Gone because beats stopped, not by its owner's word.
	Missed bool
}

// Refusal is a beat that was not taken.
type Refusal struct {
	Beat crux.Fservice
	Err  error // of kind Denied, Invalid or Exhausted
}

// Table is which endpoints live. Time is a parameter and must not run backward.
type Table struct {
	rules  Rules
	owners map[crux.UnitKey]*owner
	live   map[Endpoint]*entry
}

type owner struct {
	draining bool
	live     int
	missed   uint64
}

type entry struct {
	owner  crux.UnitKey
	beaten crux.Status // as the beats say
	shown  crux.Status // as the registry was told
	flock  crux.FlockID
	until  time.Time
}

// NewTable makes an empty table.
func NewTable(r Rules) *Table {
	if r.MayServe == nil {
		r.MayServe = sameService
	}
	return &Table{rules: r, owners: make(map[crux.UnitKey]*owner), live: make(map[Endpoint]*entry)}
}

// sameService is the rule of reeve/keys: a service's name, a hyphen, more.
func sameService(caller string, _ crux.Horde, inst crux.Inst) bool {
	name := strings.TrimRight(string(crux.Inst(caller).API()), "0123456789")
	return name != "" && strings.HasPrefix(string(inst), name+"-")
}

// Join lets a unit beat, from nothing: what it had is withdrawn.
func (t *Table) Join(k crux.UnitKey) []Change {
	out := t.Leave(k)
	t.owners[k] = &owner{}
	return out
}

// Leave withdraws what a unit has; its beats are refused from now on.
func (t *Table) Leave(k crux.UnitKey) (out []Change) {
	for at, e := range t.live {
		if e.owner == k {
			out = append(out, t.drop(at, e, false))
		}
	}
	delete(t.owners, k)
	return out
}

// Draining shows everything that a unit has, and will name, as Draining.
func (t *Table) Draining(k crux.UnitKey) (out []Change) {
	o, ok := t.owners[k]
	if !ok {
		return nil
	}
	o.draining = true
	for at, e := range t.live {
		if e.owner == k && e.shown != crux.Draining {
			e.shown = crux.Draining
			out = append(out, t.change(at, e))
		}
	}
	return out
}

// Step takes the beats of a unit.
func (t *Table) Step(now time.Time, k crux.UnitKey, beats []crux.Fservice) (out []Change, refused []Refusal) {
	for _, b := range beats {
		c, changed, err := t.beat(now, k, b)
		if err != nil {
			refused = append(refused, Refusal{b, err})
		}
		if changed {
			out = append(out, c)
		}
	}
	return out, refused
}

func (t *Table) beat(now time.Time, k crux.UnitKey, b crux.Fservice) (Change, bool, error) {
	o, err := t.check(k, b)
	if err != nil {
		return Change{}, false, err
	}
	at := Endpoint{b.Horde, b.Inst, b.NetID}
	e, known := t.live[at]
	switch {
	case known && e.owner != k:
		return Change{}, false, crux.Errorf("take beat", crux.Denied, "%s at %s belongs to %s", b.Inst, b.NetID, e.owner.Inst)
	case b.Status == crux.Gone && !known:
		return Change{}, false, nil
	case b.Status == crux.Gone:
		return t.drop(at, e, false), true, nil
	case !known && o.live >= maxEndpoints:
		return Change{}, false, crux.Errorf("take beat", crux.Exhausted, "%s has %d endpoints already, no more are kept", k.Inst, o.live)
	case !known:
		e = &entry{owner: k}
		t.live[at] = e
		o.live++
	}
	shown := b.Status
	if o.draining {
		shown = crux.Draining
	}
	changed := shown != e.shown
	e.beaten, e.shown, e.flock = b.Status, shown, b.Flock
	e.until = now.Add(min(b.ValidUntil.Sub(b.Issued), maxHold))
	return t.change(at, e), changed, nil
}

// check decides whether a unit may say what it says.
func (t *Table) check(k crux.UnitKey, b crux.Fservice) (*owner, error) {
	const op = "take beat"
	o, ok := t.owners[k]
	addr, err := b.NetID.AddrPort()
	switch {
	case !ok:
		return nil, crux.Errorf(op, crux.Denied, "%s does not run here", k.Inst)
	case b.Horde != k.Horde:
		return nil, crux.Errorf(op, crux.Denied, "%s of horde %s may not serve in horde %s", k.Inst, k.Horde, b.Horde)
	case b.Inst != k.Inst && !t.rules.MayServe(string(k.Inst), b.Horde, b.Inst):
		return nil, crux.Errorf(op, crux.Denied, "%s may not serve %s: it may serve itself, and what its own name and a hyphen begin", k.Inst, b.Inst)
	case b.API != b.Inst.API():
		return nil, crux.Errorf(op, crux.Invalid, "%s is not an instance of %s", b.Inst, b.API)
	case err != nil:
		return nil, crux.Wrap(op, err)
	case addr.Addr() != t.rules.IP || addr.Port() == 0:
		return nil, crux.Errorf(op, crux.Denied, "%s at %s is not on this node: its address is %s", b.Inst, b.NetID, t.rules.IP)
	case b.NetID != crux.NetIDOf(addr):
		return nil, crux.Errorf(op, crux.Invalid, "%q is not how %s is written", string(b.NetID), addr)
	case b.Status < crux.Starting || b.Status > crux.Gone:
		return nil, crux.Errorf(op, crux.Invalid, "no such status: %d", b.Status)
	case b.Status != crux.Gone && !b.ValidUntil.After(b.Issued):
		return nil, crux.Errorf(op, crux.Invalid, "a beat of %s holds for no time", b.Inst)
	}
	return o, nil
}

// Tick withdraws what has expired.
func (t *Table) Tick(now time.Time) (out []Change) {
	for at, e := range t.live {
		if !e.until.After(now) {
			out = append(out, t.drop(at, e, true))
		}
	}
	return out
}

// Next is when Tick has something to do; false: nothing lives.
func (t *Table) Next() (at time.Time, ok bool) {
	for _, e := range t.live {
		if !ok || e.until.Before(at) {
			at, ok = e.until, true
		}
	}
	return at, ok
}

// Count says how many endpoints of a unit live, and how many expired since it
// joined.
func (t *Table) Count(k crux.UnitKey) (live int, missed uint64) {
	if o, ok := t.owners[k]; ok {
		return o.live, o.missed
	}
	return 0, 0
}

// Status is what the registry should show of an endpoint; Gone if nothing.
func (t *Table) Status(at Endpoint) Change {
	if e, ok := t.live[at]; ok {
		return t.change(at, e)
	}
	return Change{At: at, Status: crux.Gone}
}

func (t *Table) change(at Endpoint, e *entry) Change {
	return Change{Owner: e.owner, At: at, Status: e.shown, Flock: e.flock, Until: e.until}
}

func (t *Table) drop(at Endpoint, e *entry, missed bool) Change {
	delete(t.live, at)
	if o, ok := t.owners[e.owner]; ok {
		o.live--
		if missed {
			o.missed++
		}
	}
	c := t.change(at, e)
	c.Status, c.Missed = crux.Gone, missed
	return c
}
