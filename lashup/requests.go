package lashup

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/replica"
	pb "fulcrum.example/protos/lashup"
)

const (
	// maxClients bounds the clients whose writes are remembered; of more, the
	// ones that wrote longest ago are forgotten.
	maxClients = 4096
	// maxUnanswered bounds the answers that are kept for one client.
	maxUnanswered = 1024
	// maxSaved bounds the answers that a handover carries, and maxSavedError, in
	// bytes, what is said of one that failed: the clients that wrote longest ago are
	// forgotten, so that a handover is never too large to be made.
	maxSaved      = 1 << 17
	maxSavedError = 256
)

// clientID is what a client calls itself: 16 random bytes.
type clientID [16]byte

// outcome is how a write ended, once ended is closed.
type outcome struct {
	ended   chan struct{}
	version replica.Version
	err     error
}

// clientWrites is what is remembered of one client.
type clientWrites struct {
	floor uint64 // numbers below it were answered, and the client has the answers
	byNum map[uint64]*outcome
	used  uint64 // when it wrote last, in writes of all
}

// requests remembers the writes of clients until they have the answers, so that
// one that is sent again is applied once (RIFL, SOSP 2015, without its log: what
// is remembered survives a handover and no crash).
type requests struct {
	epoch uint64

	mu      sync.Mutex
	clients map[clientID]*clientWrites
	clock   uint64
	forgot  bool // some client was forgotten in this epoch
}

func newRequests(epoch uint64) *requests {
	return &requests{epoch: epoch, clients: make(map[clientID]*clientWrites)}
}

// do applies a write by apply, unless it was applied already. safe says that
// applying it twice is as once. An error of apply with the zero version says that
// nothing was done, and the write may come again.
func (r *requests) do(ctx context.Context, id *pb.RequestID, safe bool, apply func() (replica.Version, error)) (replica.Version, error) {
	if id == nil {
		return apply()
	}
	o, mine, err := r.begin(id, safe)
	if err != nil {
		return replica.Version{}, err
	}
	if !mine {
		select {
		case <-o.ended:
			return o.version, o.err
		case <-ctx.Done():
			return replica.Version{}, crux.Wrap("write", ctx.Err())
		}
	}
	done := false
	defer func() { // also when apply panics, others that wait are told
		if !done {
			r.forget(id)
			if o.err == nil {
				o.err = crux.Errorf("write", crux.Internal, "the write failed; the log says why")
			}
		}
		close(o.ended)
	}()
	o.version, o.err = apply()
	done = o.version != (replica.Version{})
	return o.version, o.err
}

// begin finds a write or takes it up; mine says that the caller is to apply it.
func (r *requests) begin(id *pb.RequestID, safe bool) (o *outcome, mine bool, err error) {
	const op = "write"
	if len(id.GetClient()) != len(clientID{}) || id.GetNumber() == 0 || id.GetUnanswered() > id.GetNumber() {
		return nil, false, crux.Errorf(op, crux.Invalid, "the request ID is malformed")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c, known := r.clients[clientID(id.GetClient())]
	if known {
		if o, ok := c.byNum[id.GetNumber()]; ok {
			return o, false, nil
		}
		if id.GetNumber() < c.floor {
			return nil, false, crux.Errorf(op, crux.Invalid, "request %d was answered, and the client has said so", id.GetNumber())
		}
	}
	lostTrack := id.GetEpoch() != r.epoch || !known && r.forgot
	if id.GetAgain() && lostTrack && !safe {
		return nil, false, crux.Errorf(op, crux.Timeout,
			"whether it was applied is not known: the node's lashup was started anew since; read the key before writing again")
	}
	if !known {
		c = r.add(clientID(id.GetClient()))
	}
	c.raise(id.GetUnanswered())
	if len(c.byNum) >= maxUnanswered {
		return nil, false, crux.Errorf(op, crux.Exhausted, "the client has %d writes under way, no more are taken", len(c.byNum))
	}
	r.clock++
	c.used = r.clock
	o = &outcome{ended: make(chan struct{})}
	c.byNum[id.GetNumber()] = o
	return o, true, nil
}

// add remembers a client; the one that wrote longest ago makes room.
func (r *requests) add(id clientID) *clientWrites {
	if len(r.clients) >= maxClients {
		var oldest clientID
		var least *clientWrites
		for k, c := range r.clients {
			if least == nil || c.used < least.used {
				oldest, least = k, c
			}
		}
		delete(r.clients, oldest)
		r.forgot = true
	}
	c := &clientWrites{byNum: make(map[uint64]*outcome)}
	r.clients[id] = c
	return c
}

// raise forgets what the client has the answers of.
func (c *clientWrites) raise(floor uint64) {
	if floor <= c.floor {
		return
	}
	c.floor = floor
	for n := range c.byNum {
		if n < floor {
			delete(c.byNum, n)
		}
	}
}

// forget takes a write back that was not applied.
func (r *requests) forget(id *pb.RequestID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.clients[clientID(id.GetClient())]; ok {
		delete(c.byNum, id.GetNumber())
	}
}

// savedRequests is what a handover carries.
type savedRequests struct {
	Forgot  bool          `json:"forgot"`
	Clients []savedClient `json:"clients"`
}

type savedClient struct {
	ID    clientID     `json:"id"`
	Floor uint64       `json:"floor"`
	Used  uint64       `json:"used"`
	Ended []savedWrite `json:"ended"`
}

type savedWrite struct {
	Number  uint64          `json:"number"`
	Version replica.Version `json:"version"`
	Kind    crux.Kind       `json:"kind,omitempty"`
	Error   string          `json:"error,omitempty"`
}

// save gives what is remembered, of the clients that wrote last if it is very much.
// No write may be under way.
func (r *requests) save() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := savedRequests{Forgot: r.forgot}
	ids := slices.SortedFunc(maps.Keys(r.clients), func(a, b clientID) int {
		return cmp.Compare(r.clients[b].used, r.clients[a].used)
	})
	writes := 0
	for _, id := range ids {
		c := r.clients[id]
		if writes += len(c.byNum); writes > maxSaved {
			out.Forgot = true
			break
		}
		s := savedClient{ID: id, Floor: c.floor, Used: c.used}
		for n, o := range c.byNum {
			w := savedWrite{Number: n, Version: o.version}
			if o.err != nil {
				text := o.err.Error()
				w.Kind, w.Error = crux.KindOf(o.err), text[:min(len(text), maxSavedError)]
			}
			s.Ended = append(s.Ended, w)
		}
		out.Clients = append(out.Clients, s)
	}
	return json.Marshal(out)
}

// loadRequests takes over what the process before remembered.
func loadRequests(epoch uint64, b []byte) (*requests, error) {
	var in savedRequests
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, crux.Errorf("take over requests", crux.Corrupt, "%w", err)
	}
	r := newRequests(epoch)
	r.forgot = in.Forgot
	ended := make(chan struct{})
	close(ended)
	for _, s := range in.Clients {
		c := &clientWrites{floor: s.Floor, used: s.Used, byNum: make(map[uint64]*outcome, len(s.Ended))}
		for _, w := range s.Ended {
			o := &outcome{ended: ended, version: w.Version}
			if w.Error != "" {
				o.err = crux.Errorf("", w.Kind, "%s", w.Error)
			}
			c.byNum[w.Number] = o
		}
		r.clients[s.ID] = c
		r.clock = max(r.clock, s.Used)
	}
	return r, nil
}
