package operator

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/admin"
)

// Status is how a node and its flock fare.
type Status struct {
	Bloc     crux.BlocID       `json:"bloc"`
	Flock    string            `json:"flock"`
	Name     string            `json:"flock_name"`
	Epoch    uint64            `json:"epoch"`
	Node     crux.NodeID       `json:"node"`
	Leader   *crux.NodeID      `json:"leader"` // nil: none
	Members  int               `json:"members"`
	Steward  *crux.NodeID      `json:"steward"` // whom this node's reeve follows; nil: nobody
	Whole    bool              `json:"whole"`   // every member has reported its services
	Services int               `json:"services"`
	Open     bool              `json:"open"`    // enrolment is open
	Adopted  bool              `json:"adopted"` // picket has found its children again
	Hints    []Hint            `json:"hints"`
	Dropped  map[string]uint64 `json:"dropped"` // packets, by reason
	Version  string            `json:"version"`
}

// Hint is why another node may not be in this flock.
type Hint struct {
	From          netip.AddrPort `json:"from"`
	Authenticated bool           `json:"authenticated"`
	Text          string         `json:"text"`
}

// Member is one node of the flock.
type Member struct {
	ID     crux.NodeID    `json:"id"`
	Addr   netip.AddrPort `json:"addr"`
	State  string         `json:"state"`
	Leader bool           `json:"leader"`
}

// Service is one row of the registry.
type Service struct {
	API    crux.API    `json:"api"`
	Inst   crux.Inst   `json:"inst"`
	Node   crux.NodeID `json:"node"`
	NetID  crux.NetID  `json:"netid"`
	Horde  crux.Horde  `json:"horde"`
	Status string      `json:"status"`
}

// Unit is one thing that picket runs on the node.
type Unit struct {
	Horde    string    `json:"horde"`
	Inst     string    `json:"inst"`
	Kind     string    `json:"kind"`
	State    string    `json:"state"`
	PID      int       `json:"pid"` // 0: inside fulcrum
	Restarts int       `json:"restarts"`
	Since    time.Time `json:"since"`
	Error    string    `json:"error,omitempty"`
	Checksum string    `json:"checksum,omitempty"`
	Log      string    `json:"log,omitempty"`
}

// idOrNil makes an absent node null in JSON.
func idOrNil(id crux.NodeID) *crux.NodeID {
	if id.IsZero() {
		return nil
	}
	return &id
}

// Status asks how the node fares.
func (c *Client) Status(ctx context.Context) (Status, error) {
	r, err := c.rpc.Status(ctx, &admin.StatusRequest{})
	if err != nil {
		return Status{}, c.said(err)
	}
	v, err := wire.ViewFrom(r.GetView())
	if err != nil {
		return Status{}, err
	}
	steward, err := wire.NodeIDFrom(r.GetSteward())
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Bloc: v.Bloc, Flock: v.Flock.String(), Name: v.Name, Epoch: v.Epoch, Node: v.Self,
		Leader: idOrNil(v.Leader), Members: len(v.Members), Steward: idOrNil(steward), Whole: r.GetWhole(),
		Services: int(r.GetServices()), Open: r.GetOpen(), Adopted: r.GetAdopted(),
		Hints: []Hint{}, Dropped: map[string]uint64{}, Version: r.GetVersion(),
	}
	for k, n := range r.GetDropped() {
		if n > 0 {
			s.Dropped[k] = n
		}
	}
	for _, h := range v.Hints {
		s.Hints = append(s.Hints, Hint(h))
	}
	return s, nil
}

// Members lists the flock.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	r, err := c.rpc.Members(ctx, &admin.MembersRequest{})
	if err != nil {
		return nil, c.said(err)
	}
	leader, err := wire.NodeIDFrom(r.GetLeader())
	if err != nil {
		return nil, err
	}
	list := make([]Member, 0, len(r.GetMembers()))
	for _, m := range r.GetMembers() {
		x, err := wire.MemberFrom(m)
		if err != nil {
			return nil, err
		}
		list = append(list, Member{x.ID, x.Addr, x.State.String(), x.ID == leader})
	}
	return list, nil
}

// Services lists the rows that a selector matches, by API, the greatest version
// first; the zero selector matches all.
func (c *Client) Services(ctx context.Context, sel crux.Selector) ([]Service, error) {
	r, err := c.rpc.Services(ctx, wire.SelectorTo(sel))
	if err != nil {
		return nil, c.said(err)
	}
	snap, err := wire.SnapshotFrom(r)
	if err != nil {
		return nil, err
	}
	list := make([]Service, 0, len(snap.Rows))
	for _, x := range snap.Rows {
		list = append(list, Service{x.API, x.Inst, x.Node, x.NetID, x.Horde, x.Status.String()})
	}
	slices.SortFunc(list, func(a, b Service) int {
		return cmp.Or(cmp.Compare(a.Horde, b.Horde), cmp.Compare(a.API, b.API), b.Inst.Compare(a.Inst), cmp.Compare(a.NetID, b.NetID))
	})
	return list, nil
}

// Units lists what picket runs on the node.
func (c *Client) Units(ctx context.Context) ([]Unit, error) {
	r, err := c.rpc.Units(ctx, &admin.UnitsRequest{})
	if err != nil {
		return nil, c.said(err)
	}
	list := make([]Unit, 0, len(r.GetUnits()))
	for _, u := range r.GetUnits() {
		list = append(list, Unit{
			u.GetHorde(), u.GetInst(), u.GetKind(), u.GetState(), int(u.GetPid()), int(u.GetRestarts()),
			time.Unix(0, u.GetSinceUnixNano()), u.GetError(), u.GetChecksum(), u.GetLog(),
		})
	}
	return list, nil
}
