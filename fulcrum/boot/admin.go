package boot

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/crux/wire"
	"fulcrum.example/proctor/rollout"
	"fulcrum.example/protos/admin"
	pb "fulcrum.example/protos/node"
	reevepb "fulcrum.example/protos/reeve"
)

// adminServer answers the operator. Its errors are turned into gRPC codes by
// the socket's interceptors.
type adminServer struct {
	admin.UnimplementedAdminServer
	n *Node
}

// Status says how this node and its flock fare.
func (a adminServer) Status(context.Context, *admin.StatusRequest) (*admin.StatusReply, error) {
	n := a.n
	snap := n.reeve.Lookup(crux.Selector{})
	adopted := false
	select {
	case <-n.picket.AdoptionDone():
		adopted = true
	default:
	}
	return &admin.StatusReply{
		View: wire.ViewTo(n.flock.View()), Steward: wire.NodeIDTo(n.reeve.Steward()), Whole: snap.Whole,
		Revision: wire.RevisionTo(snap.Rev), Services: uint32(len(snap.Rows)), Adopted: adopted,
		Dropped: n.flock.Dropped(), Version: n.cfg.Version, Open: n.policy.Open(),
	}, nil
}

// Members lists the flock.
func (a adminServer) Members(context.Context, *admin.MembersRequest) (*admin.MembersReply, error) {
	v := a.n.flock.View()
	r := &admin.MembersReply{Leader: wire.NodeIDTo(v.Leader)}
	for _, m := range v.Members {
		r.Members = append(r.Members, wire.MemberTo(m))
	}
	return r, nil
}

// Services lists the rows that a selector matches.
func (a adminServer) Services(_ context.Context, m *pb.Selector) (*pb.Snapshot, error) {
	sel, err := wire.SelectorFrom(m)
	if err != nil {
		return nil, err
	}
	return wire.SnapshotTo(a.n.reeve.Lookup(sel)), nil
}

// Units lists what picket runs here.
func (a adminServer) Units(context.Context, *admin.UnitsRequest) (*admin.UnitsReply, error) {
	r := &admin.UnitsReply{}
	for _, u := range a.n.picket.Units() {
		m := &admin.Unit{
			Horde: string(u.Horde), Inst: string(u.Inst), Kind: string(u.Kind), State: u.State, Pid: int32(u.PID),
			Restarts: int32(u.Restarts), SinceUnixNano: u.Since.UnixNano(), Error: u.Error,
		}
		if u.Kind.HasArtifact() {
			m.Checksum = u.Checksum.String()
		}
		if u.Kind != crux.Builtin {
			m.Log = a.n.picket.Logs(u.Key())
		}
		r.Units = append(r.Units, m)
	}
	return r, nil
}

// Upload puts an artifact into the cache and the artifact store.
func (a adminServer) Upload(s grpc.ClientStreamingServer[admin.UploadChunk, admin.UploadReply]) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	if len(first.GetChecksum()) != len(crux.Checksum{}) {
		return crux.Errorf("upload", crux.Invalid, "the first chunk has no checksum")
	}
	want := crux.Checksum(first.GetChecksum())
	sum, size, err := a.n.pastiche.Publish(s.Context(), &chunks{recv: s.Recv})
	if err != nil {
		return err
	}
	if sum != want || size != first.GetSize() {
		return crux.Errorf("upload", crux.Corrupt, "%d bytes with checksum %v arrived, %d with %v were announced: try again", size, sum, first.GetSize(), want)
	}
	return s.SendAndClose(&admin.UploadReply{Stored: a.n.store.String()})
}

// chunks reads a stream of chunks as bytes.
type chunks struct {
	recv func() (*admin.UploadChunk, error)
	rest []byte
}

// Read gives what is left of the last chunk, or of the next.
func (c *chunks) Read(b []byte) (int, error) {
	for len(c.rest) == 0 {
		m, err := c.recv()
		if err != nil {
			return 0, err // io.EOF at the stream's end
		}
		c.rest = m.GetData()
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// GetDoc finds a signed document.
func (a adminServer) GetDoc(ctx context.Context, m *reevepb.DocKey) (*reevepb.Doc, error) {
	k, err := wire.DocKeyFrom(m)
	if err != nil {
		return nil, err
	}
	d, err := a.n.reeve.Find(ctx, k)
	if err != nil {
		return nil, err
	}
	return wire.DocTo(&d), nil
}

// Docs lists the signed documents of a kind.
func (a adminServer) Docs(_ context.Context, m *admin.DocsRequest) (*admin.DocsReply, error) {
	r := &admin.DocsReply{}
	for _, d := range a.n.reeve.List(crux.DocKind(m.GetKind())) {
		r.Docs = append(r.Docs, wire.DocTo(&d))
	}
	return r, nil
}

// Publishers says who must sign.
func (a adminServer) Publishers(context.Context, *admin.PublishersRequest) (*admin.PublishersReply, error) {
	keys, need := a.n.policy.Publishers()
	r := &admin.PublishersReply{Bloc: string(a.n.policy.Bloc()), Need: int32(need)}
	for _, k := range keys {
		r.Keys = append(r.Keys, k)
	}
	return r, nil
}

// Propose hands a document to the group.
func (a adminServer) Propose(ctx context.Context, m *reevepb.Doc) (*admin.ProposeReply, error) {
	d, err := wire.DocFrom(m)
	if err != nil {
		return nil, err
	}
	if keys, _ := a.n.policy.Publishers(); len(keys) == 0 && len(d.Signatures) == 0 {
		key := a.n.identity.Key
		d.Signatures = []crux.DocSignature{{
			Key: key.Public().(ed25519.PublicKey),
			Sig: ed25519.Sign(key, crux.Labelled(d.Kind.Label(), d.SignedBytes(a.n.policy.Bloc()))),
		}}
	}
	return &admin.ProposeReply{}, a.n.reeve.Propose(ctx, d)
}

// Evict removes a member; it works on the leader's node.
func (a adminServer) Evict(ctx context.Context, m *admin.EvictRequest) (*admin.EvictReply, error) {
	id, err := wire.NodeIDFrom(m.GetNode())
	if err != nil {
		return nil, err
	}
	return &admin.EvictReply{}, a.n.flock.Evict(ctx, id)
}

// ApplyBloc puts a newer bloc file in force.
func (a adminServer) ApplyBloc(_ context.Context, m *admin.ApplyBlocRequest) (*admin.ApplyBlocReply, error) {
	d, err := bloc.Parse(m.GetFile())
	if err != nil {
		return nil, err
	}
	if _, err := a.n.policy.Replace(d); err != nil {
		return nil, err
	}
	return &admin.ApplyBlocReply{Version: d.Version}, a.n.keepPolicy()
}

// GetBloc gives the bloc file in force.
func (a adminServer) GetBloc(context.Context, *admin.GetBlocRequest) (*admin.GetBlocReply, error) {
	d := a.n.policy.Document()
	if d == nil {
		return &admin.GetBlocReply{}, nil
	}
	b, err := d.Marshal()
	return &admin.GetBlocReply{File: b}, err
}

// Progress follows an intent until it is done. Proctor is asked again whenever
// the registry changes, and every so often: what deans report is no row.
func (a adminServer) Progress(m *admin.ProgressRequest, s grpc.ServerStreamingServer[admin.ProgressReply]) error {
	horde, err := crux.ParseHorde(m.GetHorde())
	if err != nil {
		return err
	}
	api, err := crux.ParseAPI(m.GetApi())
	if err != nil {
		return err
	}
	ctx := s.Context()
	rows := a.n.reeve.Watch(ctx, crux.Selector{Horde: horde, API: api})
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		p, err := a.progress(ctx, horde, api, m.GetVersion())
		if err != nil {
			return err
		}
		if err := s.Send(p); err != nil || p.GetDone() {
			return err
		}
		select {
		case <-rows:
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// progressEvery is how often proctor is asked how far a rollout is.
const progressEvery = 100 * time.Millisecond

// progress asks proctor once.
func (a adminServer) progress(ctx context.Context, horde crux.Horde, api crux.API, version uint64) (*admin.ProgressReply, error) {
	d, ok := a.n.reeve.Get(crux.DocKey{Kind: crux.IntentDoc, Name: crux.IntentName(horde, api)})
	if !ok || d.Version < version {
		return &admin.ProgressReply{WaitingFor: "the intent has not reached this node yet"}, nil
	}
	want, err := d.Intent()
	if err != nil {
		return nil, err
	}
	p, err := a.n.proctor.Progress(ctx, horde, api)
	switch kind := crux.KindOf(err); {
	case kind == crux.Unavailable || kind == crux.NotFound:
		return &admin.ProgressReply{Want: int32(want.Count), WaitingFor: "the leader's proctor: " + reason(err)}, nil
	case err != nil:
		return nil, err
	}
	r := &admin.ProgressReply{Want: int32(want.Count), Serving: int32(p.Serving), Old: int32(p.Old)}
	if p.Inst != want.Inst || p.Wanted != want.Count {
		r.Serving, r.WaitingFor = 0, "the leader's proctor has not taken up the intent yet"
		return r, nil
	}
	r.Done = p.Done
	if !p.Done {
		r.WaitingFor = a.waitingFor(&p)
	}
	return r, nil
}

// reason is what an error says, without what was attempted.
func reason(err error) string {
	text := err.Error()
	var e *crux.Error
	for errors.As(err, &e) {
		text, err = e.Err.Error(), e.Err
	}
	return strings.TrimPrefix(text, "ask for progress: ")
}

// waitingFor says in a line what an intent waits for: each reason once, with
// the nodes that have it.
func (a adminServer) waitingFor(p *rollout.Progress) string {
	var reasons []string
	nodes := make(map[string][]string) // by reason
	v := a.n.flock.View()
	for _, w := range p.Waiting {
		name := w.Node.String()
		if m, ok := v.Member(w.Node); ok {
			name = m.Addr.Addr().String()
		}
		if nodes[w.Why] == nil {
			reasons = append(reasons, w.Why)
		}
		nodes[w.Why] = append(nodes[w.Why], name)
	}
	var parts []string
	if p.Note != "" {
		parts = append(parts, p.Note)
	}
	for _, why := range reasons {
		who := nodes[why]
		if n := len(who); n > maxNamed {
			who = append(who[:maxNamed:maxNamed], fmt.Sprintf("and %d more", n-maxNamed))
		}
		parts = append(parts, strings.Join(who, ", ")+": "+why)
	}
	return strings.Join(parts, "; ")
}

// maxNamed is how many nodes are named that wait for the same.
const maxNamed = 3
