package plan

import (
	"slices"
	"time"

	"fulcrum.example/crux"
)

// Config bounds a Table. Zero fields get defaults.
type Config struct {
	// Stall is how long a reader may be silent before another is named; 10 s.
	Stall time.Duration
	// Keep is how long holders of an artifact that nobody asks for are
	// remembered; 10 min.
	Keep time.Duration
	// MaxSums and MaxHolders bound memory; 4,096 artifacts, 64 holders each.
	MaxSums, MaxHolders int
}

// Ticket names one request, chosen by the caller.
type Ticket uint64

// Do is what a request is told.
type Do uint8

// The things that a request may be told.
const (
	Wait Do = iota // another reads; stay
	Pull           // pull from Holders
	Read           // read the artifact store, for all
)

// Effect is advice for one request.
type Effect struct {
	To      Ticket
	Do      Do
	Holders []crux.NodeID // of Pull, newest first
}

// afterFailures is how many readers may fail before everybody who waits is
// sent to the artifact store: then each reports its own error soon.
const afterFailures = 2

// Table is an arbiter's memory.
type Table struct {
	cfg     Config
	sums    map[crux.Checksum]*item
	tickets map[Ticket]*want
}

type item struct {
	holders  []crux.NodeID // oldest first
	wants    []*want       // in the order of arrival
	reader   *want
	failures int
	used     time.Time
}

type want struct {
	ticket  Ticket
	sum     crux.Checksum
	node    crux.NodeID
	alive   time.Time // of the reader: its last sign
	reading bool      // was told to read, alone or with all
}

// NewTable makes an empty Table.
func NewTable(cfg Config) *Table {
	if cfg.Stall == 0 {
		cfg.Stall = 10 * time.Second
	}
	if cfg.Keep == 0 {
		cfg.Keep = 10 * time.Minute
	}
	if cfg.MaxSums == 0 {
		cfg.MaxSums = 4096
	}
	if cfg.MaxHolders == 0 {
		cfg.MaxHolders = 64
	}
	return &Table{cfg: cfg, sums: make(map[crux.Checksum]*item), tickets: make(map[Ticket]*want)}
}

func (t *Table) item(now time.Time, sum crux.Checksum) *item {
	it, ok := t.sums[sum]
	if !ok {
		t.trim()
		it = &item{}
		t.sums[sum] = it
	}
	it.used = now
	return it
}

// trim makes room for one more artifact, at the cost of the one that was not
// asked for longest and that nobody waits for.
func (t *Table) trim() {
	if len(t.sums) < t.cfg.MaxSums {
		return
	}
	var oldest crux.Checksum
	var found *item
	for sum, it := range t.sums {
		if len(it.wants) == 0 && (found == nil || it.used.Before(found.used) ||
			it.used.Equal(found.used) && slices.Compare(sum[:], oldest[:]) < 0) {
			oldest, found = sum, it
		}
	}
	if found != nil {
		delete(t.sums, oldest)
	}
}

// Want opens a request: node wants sum.
func (t *Table) Want(now time.Time, ticket Ticket, sum crux.Checksum, node crux.NodeID) []Effect {
	it := t.item(now, sum)
	w := &want{ticket: ticket, sum: sum, node: node}
	it.wants = append(it.wants, w)
	t.tickets[ticket] = w
	it.holders = slices.DeleteFunc(it.holders, func(h crux.NodeID) bool { return h == node })
	return t.advise(now, it, w)
}

// advise says what one request should do now.
func (t *Table) advise(now time.Time, it *item, w *want) []Effect {
	switch {
	case len(it.holders) > 0:
		holders := slices.Clone(it.holders)
		slices.Reverse(holders)
		return []Effect{{To: w.ticket, Do: Pull, Holders: holders}}
	case it.reader != nil && it.reader != w:
		return []Effect{{To: w.ticket, Do: Wait}}
	case it.reader == nil:
		it.reader, w.alive, w.reading = w, now, true
	}
	return []Effect{{To: w.ticket, Do: Read}}
}

// Progress notes that a request is well; those that wait for it are told.
func (t *Table) Progress(now time.Time, ticket Ticket) []Effect {
	w, ok := t.tickets[ticket]
	if !ok {
		return nil
	}
	it := t.item(now, w.sum)
	w.alive = now
	if it.reader != w || len(it.holders) > 0 {
		return nil
	}
	return t.tellOthers(it, w, func(o *want) []Effect { return []Effect{{To: o.ticket, Do: Wait}} })
}

// Done closes a request: its node has the artifact now. The others pull.
func (t *Table) Done(now time.Time, ticket Ticket) []Effect {
	w, ok := t.tickets[ticket]
	if !ok {
		return nil
	}
	it := t.item(now, w.sum)
	t.remove(it, w)
	if it.reader == w {
		it.reader = nil
	}
	it.failures = 0
	return t.hold(now, it, w.node)
}

// Holds notes that a node has an artifact, as after publishing it.
func (t *Table) Holds(now time.Time, sum crux.Checksum, node crux.NodeID) []Effect {
	return t.hold(now, t.item(now, sum), node)
}

func (t *Table) hold(now time.Time, it *item, node crux.NodeID) []Effect {
	it.holders = append(slices.DeleteFunc(it.holders, func(h crux.NodeID) bool { return h == node }), node)
	if n := len(it.holders) - t.cfg.MaxHolders; n > 0 {
		it.holders = slices.Delete(it.holders, 0, n)
	}
	return t.tellOthers(it, nil, func(o *want) []Effect { return t.advise(now, it, o) })
}

// Failed closes a request that was told to read and could not; another is told
// to. After some failures everybody is, so that each soon has an error of its
// own to report.
func (t *Table) Failed(now time.Time, ticket Ticket) []Effect {
	w, ok := t.tickets[ticket]
	if !ok {
		return nil
	}
	t.item(now, w.sum).failures++
	return t.Leave(now, ticket)
}

// next names another reader in place of w, or all of them.
func (t *Table) next(now time.Time, it *item, w *want) []Effect {
	it.reader = nil
	all := it.failures >= afterFailures
	var out []Effect
	for _, o := range it.wants {
		if o == w || o.reading || it.reader != nil && !all {
			continue
		}
		if it.reader == nil {
			it.reader = o
		}
		o.reading, o.alive = true, now
		out = append(out, Effect{To: o.ticket, Do: Read})
	}
	return out
}

// Missed notes that holders did not serve a request; it is advised anew.
func (t *Table) Missed(now time.Time, ticket Ticket, nodes []crux.NodeID) []Effect {
	w, ok := t.tickets[ticket]
	if !ok {
		return nil
	}
	it := t.item(now, w.sum)
	it.holders = slices.DeleteFunc(it.holders, func(h crux.NodeID) bool { return slices.Contains(nodes, h) })
	return t.advise(now, it, w)
}

// Leave closes a request that ended without the artifact.
func (t *Table) Leave(now time.Time, ticket Ticket) []Effect {
	w, ok := t.tickets[ticket]
	if !ok {
		return nil
	}
	it := t.item(now, w.sum)
	wasReader := it.reader == w
	t.remove(it, w)
	if !wasReader {
		return nil
	}
	return t.next(now, it, w)
}

func (t *Table) remove(it *item, w *want) {
	delete(t.tickets, w.ticket)
	it.wants = slices.DeleteFunc(it.wants, func(o *want) bool { return o == w })
	if len(it.wants) == 0 {
		it.reader, it.failures = nil, 0
	}
}

// tellOthers gathers effects for all requests but w.
func (t *Table) tellOthers(it *item, w *want, tell func(*want) []Effect) []Effect {
	var out []Effect
	for _, o := range it.wants {
		if o != w {
			out = append(out, tell(o)...)
		}
	}
	return out
}

// Tick names another reader where one has been silent for too long, and
// forgets what nobody has asked for in a long time.
func (t *Table) Tick(now time.Time) []Effect {
	var out []Effect
	for sum, it := range t.sums {
		if len(it.wants) == 0 && now.Sub(it.used) >= t.cfg.Keep {
			delete(t.sums, sum)
			continue
		}
		if r := it.reader; r != nil && now.Sub(r.alive) >= t.cfg.Stall {
			out = append(out, t.next(now, it, r)...)
		}
	}
	slices.SortFunc(out, func(a, b Effect) int { return int(a.To) - int(b.To) })
	return out
}
