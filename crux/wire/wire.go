package wire

import (
	"crypto/ed25519"
	"net/netip"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/protos/node"
)

func nodeID(b []byte) (crux.NodeID, error) {
	var id crux.NodeID
	if len(b) == 0 {
		return id, nil
	}
	if len(b) != len(id) {
		return id, crux.Errorf("decode node id", crux.Invalid, "a node ID has %d bytes, not %d", len(id), len(b))
	}
	copy(id[:], b)
	return id, nil
}

// NodeIDFrom reads the 8 bytes of a node ID; none at all is the zero ID.
func NodeIDFrom(b []byte) (crux.NodeID, error) { return nodeID(b) }

// NodeIDTo writes a node ID; the zero ID is no bytes.
func NodeIDTo(id crux.NodeID) []byte {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

func flockID(b []byte) (crux.FlockID, error) {
	var id crux.FlockID
	if len(b) == 0 {
		return id, nil
	}
	if len(b) != len(id) {
		return id, crux.Errorf("decode flock id", crux.Invalid, "a flock ID has %d bytes, not %d", len(id), len(b))
	}
	copy(id[:], b)
	return id, nil
}

func flockBytes(id crux.FlockID) []byte {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

// unixNano writes a time; the zero time is 0.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromUnixNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// FserviceTo writes a heartbeat.
func FserviceTo(s crux.Fservice) *node.Fservice {
	return &node.Fservice{
		Horde: string(s.Horde), Api: string(s.API), Inst: string(s.Inst), Netid: string(s.NetID),
		Flock: flockBytes(s.Flock), IssuedUnixNano: unixNano(s.Issued),
		ValidUntilUnixNano: unixNano(s.ValidUntil), Status: uint32(s.Status),
	}
}

// FserviceFrom reads a heartbeat and checks its names.
func FserviceFrom(m *node.Fservice) (crux.Fservice, error) {
	horde, inst, err := names(m.GetHorde(), m.GetApi(), m.GetInst())
	if err != nil {
		return crux.Fservice{}, err
	}
	flock, err := flockID(m.GetFlock())
	if err != nil {
		return crux.Fservice{}, err
	}
	st, err := rowStatus(m.GetStatus())
	if err != nil {
		return crux.Fservice{}, err
	}
	if _, err := crux.NetID(m.GetNetid()).AddrPort(); err != nil {
		return crux.Fservice{}, err
	}
	return crux.Fservice{
		Horde: horde, API: inst.API(), Inst: inst, NetID: crux.NetID(m.GetNetid()), Flock: flock,
		Issued: fromUnixNano(m.GetIssuedUnixNano()), ValidUntil: fromUnixNano(m.GetValidUntilUnixNano()), Status: st,
	}, nil
}

func names(horde, api, inst string) (crux.Horde, crux.Inst, error) {
	h, err := crux.ParseHorde(horde)
	if err != nil {
		return "", "", err
	}
	i, err := crux.ParseInst(inst)
	if err != nil {
		return "", "", err
	}
	if string(i.API()) != api {
		return "", "", crux.Errorf("decode row", crux.Invalid, "%s is not an instance of %q", i, api)
	}
	return h, i, nil
}

func rowStatus(s uint32) (crux.Status, error) {
	if s < uint32(crux.Starting) || s > uint32(crux.Gone) {
		return 0, crux.Errorf("decode row", crux.Invalid, "no such status: %d", s)
	}
	return crux.Status(s), nil
}

// maxLease bounds what a node may ask for its rows: a node that was removed is
// in the registry no longer than that.
const maxLease = 2 * time.Minute

// RowTo writes a registry row.
func RowTo(r *crux.Row) *node.Row {
	return &node.Row{
		Node: NodeIDTo(r.Node), Horde: string(r.Horde), Api: string(r.API), Inst: string(r.Inst), Netid: string(r.NetID),
		Status: uint32(r.Status), Key: r.Key, Generation: r.Generation, Incarnation: r.Incarnation, Seq: r.Seq,
		TtlNano: int64(r.TTL), IssuedUnixNano: r.Issued.UnixNano(), Signature: r.Signature,
	}
}

// RowFrom reads a registry row and checks its shape; its signature is the
// caller's to check.
func RowFrom(m *node.Row) (crux.Row, error) {
	id, err := nodeID(m.GetNode())
	if err != nil {
		return crux.Row{}, err
	}
	horde, inst, err := names(m.GetHorde(), m.GetApi(), m.GetInst())
	if err != nil {
		return crux.Row{}, err
	}
	st, err := rowStatus(m.GetStatus())
	if err != nil {
		return crux.Row{}, err
	}
	ttl := time.Duration(m.GetTtlNano())
	switch {
	case id.IsZero():
		return crux.Row{}, crux.Errorf("decode row", crux.Invalid, "a row names no node")
	case len(m.GetKey()) != 0 && len(m.GetKey()) != ed25519.PublicKeySize:
		return crux.Row{}, crux.Errorf("decode row", crux.Invalid, "an endpoint key has %d bytes, not %d", ed25519.PublicKeySize, len(m.GetKey()))
	case ttl < 0 || ttl > maxLease:
		return crux.Row{}, crux.Errorf("decode row", crux.Invalid, "a lease of %v is out of range", ttl)
	}
	if _, err := crux.NetID(m.GetNetid()).AddrPort(); err != nil {
		return crux.Row{}, err
	}
	return crux.Row{
		Node: id, Horde: horde, API: inst.API(), Inst: inst, NetID: crux.NetID(m.GetNetid()), Status: st,
		Key: m.GetKey(), Generation: m.GetGeneration(), Incarnation: m.GetIncarnation(), Seq: m.GetSeq(),
		TTL: ttl, Issued: time.Unix(0, m.GetIssuedUnixNano()), Signature: m.GetSignature(),
	}, nil
}

// RevisionTo writes a revision.
func RevisionTo(r crux.Revision) *node.Revision {
	return &node.Revision{Flock: flockBytes(r.Flock), Epoch: r.Epoch, N: r.N}
}

// RevisionFrom reads a revision.
func RevisionFrom(m *node.Revision) (crux.Revision, error) {
	f, err := flockID(m.GetFlock())
	return crux.Revision{Flock: f, Epoch: m.GetEpoch(), N: m.GetN()}, err
}

// SnapshotTo writes a snapshot.
func SnapshotTo(s crux.Snapshot) *node.Snapshot {
	out := &node.Snapshot{Rev: RevisionTo(s.Rev), Whole: s.Whole, Rows: make([]*node.Row, len(s.Rows))}
	for i := range s.Rows {
		out.Rows[i] = RowTo(&s.Rows[i])
	}
	return out
}

// SnapshotFrom reads a snapshot.
func SnapshotFrom(m *node.Snapshot) (crux.Snapshot, error) {
	rev, err := RevisionFrom(m.GetRev())
	if err != nil {
		return crux.Snapshot{}, err
	}
	s := crux.Snapshot{Rev: rev, Whole: m.GetWhole(), Rows: make([]crux.Row, len(m.GetRows()))}
	for i, r := range m.GetRows() {
		if s.Rows[i], err = RowFrom(r); err != nil {
			return crux.Snapshot{}, err
		}
	}
	return s, nil
}

// SelectorTo writes a selector.
func SelectorTo(s crux.Selector) *node.Selector {
	return &node.Selector{Horde: string(s.Horde), Api: string(s.API), Inst: string(s.Inst), Node: NodeIDTo(s.Node)}
}

// SelectorFrom reads a selector; empty fields match everything.
func SelectorFrom(m *node.Selector) (crux.Selector, error) {
	s := crux.Selector{Horde: crux.Horde(m.GetHorde()), API: crux.API(m.GetApi()), Inst: crux.Inst(m.GetInst())}
	var err error
	if s.Horde != "" {
		if s.Horde, err = crux.ParseHorde(m.GetHorde()); err != nil {
			return crux.Selector{}, err
		}
	}
	if s.API != "" {
		if s.API, err = crux.ParseAPI(m.GetApi()); err != nil {
			return crux.Selector{}, err
		}
	}
	if s.Inst != "" {
		if s.Inst, err = crux.ParseInst(m.GetInst()); err != nil {
			return crux.Selector{}, err
		}
	}
	s.Node, err = nodeID(m.GetNode())
	return s, err
}

// EndpointTo writes an endpoint.
func EndpointTo(e crux.Endpoint) *node.Endpoint {
	return &node.Endpoint{Node: NodeIDTo(e.Node), Horde: string(e.Horde), Inst: string(e.Inst), Netid: string(e.NetID)}
}

// EndpointFrom reads an endpoint.
func EndpointFrom(m *node.Endpoint) (crux.Endpoint, error) {
	id, err := nodeID(m.GetNode())
	if err != nil {
		return crux.Endpoint{}, err
	}
	h, err := crux.ParseHorde(m.GetHorde())
	if err != nil {
		return crux.Endpoint{}, err
	}
	i, err := crux.ParseInst(m.GetInst())
	if err != nil {
		return crux.Endpoint{}, err
	}
	if _, err := crux.NetID(m.GetNetid()).AddrPort(); err != nil {
		return crux.Endpoint{}, err
	}
	return crux.Endpoint{Node: id, Horde: h, Inst: i, NetID: crux.NetID(m.GetNetid())}, nil
}

// MemberTo writes a member.
func MemberTo(m crux.Member) *node.Member {
	return &node.Member{Id: NodeIDTo(m.ID), Addr: m.Addr.String(), Key: m.Key, Incarnation: m.Incarnation, State: uint32(m.State)}
}

// MemberFrom reads a member.
func MemberFrom(m *node.Member) (crux.Member, error) {
	id, err := nodeID(m.GetId())
	if err != nil {
		return crux.Member{}, err
	}
	addr, err := netip.ParseAddrPort(m.GetAddr())
	if err != nil {
		return crux.Member{}, crux.Errorf("decode member", crux.Invalid, "%q is not ip:port", m.GetAddr())
	}
	if len(m.GetKey()) != ed25519.PublicKeySize {
		return crux.Member{}, crux.Errorf("decode member", crux.Invalid, "a node key has %d bytes, not %d", ed25519.PublicKeySize, len(m.GetKey()))
	}
	return crux.Member{ID: id, Addr: addr, Key: m.GetKey(), Incarnation: m.GetIncarnation(), State: crux.MemberState(m.GetState())}, nil
}

// ViewTo writes a view of the flock.
func ViewTo(v *crux.View) *node.View {
	out := &node.View{
		Bloc: string(v.Bloc), Name: v.Name, Flock: flockBytes(v.Flock), Epoch: v.Epoch, Version: v.Version,
		Self: NodeIDTo(v.Self), Leader: NodeIDTo(v.Leader), Acting: v.Acting, Synced: v.Synced,
	}
	for _, m := range v.Members {
		out.Members = append(out.Members, MemberTo(m))
	}
	for _, id := range v.Evicted {
		out.Evicted = append(out.Evicted, NodeIDTo(id))
	}
	for _, h := range v.Hints {
		out.Hints = append(out.Hints, &node.Hint{From: h.From.String(), Authenticated: h.Authenticated, Text: h.Text})
	}
	return out
}

// ViewFrom reads a view of the flock.
func ViewFrom(m *node.View) (*crux.View, error) {
	v := &crux.View{
		Bloc: crux.BlocID(m.GetBloc()), Name: m.GetName(), Epoch: m.GetEpoch(), Version: m.GetVersion(),
		Acting: m.GetActing(), Synced: m.GetSynced(),
	}
	var err error
	if v.Flock, err = flockID(m.GetFlock()); err != nil {
		return nil, err
	}
	if v.Self, err = nodeID(m.GetSelf()); err != nil {
		return nil, err
	}
	if v.Leader, err = nodeID(m.GetLeader()); err != nil {
		return nil, err
	}
	for _, mm := range m.GetMembers() {
		x, err := MemberFrom(mm)
		if err != nil {
			return nil, err
		}
		v.Members = append(v.Members, x)
	}
	for _, b := range m.GetEvicted() {
		id, err := nodeID(b)
		if err != nil {
			return nil, err
		}
		v.Evicted = append(v.Evicted, id)
	}
	for _, h := range m.GetHints() {
		from, err := netip.ParseAddrPort(h.GetFrom())
		if err != nil {
			continue // a hint without a readable address still has no use but its text
		}
		v.Hints = append(v.Hints, crux.Hint{From: from, Authenticated: h.GetAuthenticated(), Text: h.GetText()})
	}
	return v, nil
}
