package reeve

import (
	"context"
	"crypto/ed25519"
	"slices"
	"time"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	pb "fulcrum.example/protos/reeve"
	spb "fulcrum.example/protos/steward"
)

// Get implements crux.Docs.
func (r *Reeve) Get(k crux.DocKey) (crux.Doc, bool) { return r.docs.get(k) }

// List implements crux.Docs.
func (r *Reeve) List(kind crux.DocKind) []crux.Doc {
	return slices.DeleteFunc(r.docs.list(), func(d crux.Doc) bool { return d.Kind != kind })
}

// AllDocs lists the documents of every kind, and gives a channel that is closed
// at the next change to them.
func (r *Reeve) AllDocs() ([]crux.Doc, <-chan struct{}) {
	changed := r.docs.changes()
	return r.docs.list(), changed
}

// watchDocs is what crux.Docs calls Watch; see Docs.
func (r *Reeve) watchDocs(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	spawn(r, out, func() {
		for {
			changed := r.docs.changes()
			select {
			case out <- struct{}{}:
			default: // a token is waiting already
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			case <-r.closed:
				return
			}
		}
	})
	return out
}

// Docs is the node's crux.Docs.
func (r *Reeve) Docs() crux.Docs { return docs{r} }

// docs gives the documents' Watch its name, which on Reeve is the registry's.
type docs struct{ *Reeve }

// Watch implements crux.Docs.
func (d docs) Watch(ctx context.Context) <-chan struct{} { return d.watchDocs(ctx) }

// Propose implements crux.Docs: the leader's steward gathers the majority.
func (r *Reeve) Propose(ctx context.Context, d crux.Doc) error {
	op := "propose " + d.Name
	if err := r.checkDoc(&d); err != nil {
		return err
	}
	v := r.cfg.Members.View()
	leader, ok := v.Member(v.Leader)
	if !ok {
		return crux.Errorf(op, crux.Unavailable, "the flock has no leader just now: try again")
	}
	conn, err := r.cfg.Dial(ctx, leader)
	if err != nil {
		return crux.Wrap(op, err)
	}
	if _, err = spb.NewStewardClient(conn).Propose(ctx, wire.DocTo(&d), grpc.WaitForReady(true)); err != nil {
		return wire.FromStatus(err)
	}
	// It counts now; who proposed it here finds it here.
	if err := r.StoreDoc(d); err != nil && crux.KindOf(err) != crux.Conflict {
		r.log.Warn("a document that the group has is not on this node's disk yet", "name", d.Name, "error", err)
	}
	return nil
}

// findTimeout bounds how long Find waits for the leader.
const findTimeout = 2 * time.Second

// Find gives the newest version that this node or the leader's has: what was
// acknowledged is found everywhere at once, though it may be on its way to this
// node still. Without a leader that answers, this node's own has to do.
func (r *Reeve) Find(ctx context.Context, k crux.DocKey) (crux.Doc, error) {
	d, ok := r.docs.get(k)
	if newer, err := r.askLeader(ctx, k); err == nil && newer.Version > d.Version {
		return newer, nil
	}
	if !ok {
		return crux.Doc{}, crux.Errorf("find "+string(k.Kind)+" "+k.Name, crux.NotFound, "there is none")
	}
	return d, nil
}

// askLeader reads a document from the leader's reeve, and checks it.
func (r *Reeve) askLeader(ctx context.Context, k crux.DocKey) (crux.Doc, error) {
	v := r.cfg.Members.View()
	leader, ok := v.Member(v.Leader)
	if !ok || leader.ID == r.cfg.ID {
		return crux.Doc{}, crux.Errorf("ask leader", crux.NotFound, "there is none but this node")
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	conn, err := r.cfg.Dial(ctx, leader)
	if err != nil {
		return crux.Doc{}, err
	}
	m, err := pb.NewReeveClient(conn).Read(ctx, wire.DocKeyTo(k), grpc.WaitForReady(true))
	if err != nil {
		return crux.Doc{}, wire.FromStatus(err)
	}
	d, err := wire.DocFrom(m)
	if err != nil {
		return crux.Doc{}, err
	}
	return d, r.checkDoc(&d)
}

// checkDoc says whether a document counts: what it says of itself is true, and
// those signed it who may publish.
func (r *Reeve) checkDoc(d *crux.Doc) error {
	op := "check " + d.Name
	if d.Version == 0 {
		return crux.Errorf(op, crux.Invalid, "it has no version")
	}
	var err error
	switch d.Kind {
	case crux.MusterDoc:
		_, err = d.Function()
	case crux.IntentDoc:
		_, err = d.Intent()
	default:
		err = crux.Errorf(op, crux.Invalid, "no kind of document is called %q", d.Kind)
	}
	if err != nil {
		return err
	}
	publishers, need := r.cfg.Policy.Publishers()
	msg := crux.Labelled(d.Kind.Label(), d.SignedBytes(r.cfg.Policy.Bloc()))
	if len(publishers) == 0 {
		return r.checkMemberSigned(op, d, msg)
	}
	signers := map[string]bool{}
	for _, s := range d.Signatures {
		isPublisher := slices.ContainsFunc(publishers, func(k ed25519.PublicKey) bool { return string(k) == string(s.Key) })
		if isPublisher && ed25519.Verify(s.Key, msg, s.Sig) {
			signers[string(s.Key)] = true
		}
	}
	if len(signers) < need {
		return crux.Errorf(op, crux.Denied, "%d of the %d publishers' signatures that the bloc file asks for are there and fit", len(signers), need)
	}
	return nil
}

// checkMemberSigned is checkDoc where the bloc lists no publishers: the key of
// any node will do that is or was a member, as far as this node knows, or that
// may be one (the signer may have left before this node came).
func (r *Reeve) checkMemberSigned(op string, d *crux.Doc, msg []byte) error {
	for _, s := range d.Signatures {
		if len(s.Key) != ed25519.PublicKeySize || !ed25519.Verify(s.Key, msg, s.Sig) {
			continue
		}
		if key, ok := r.Key(crux.NodeIDOf(s.Key)); ok && string(key) == string(s.Key) || r.cfg.Policy.Enrolled(s.Key) {
			return nil
		}
	}
	return crux.Errorf(op, crux.Denied, "no member's signature is on it")
}

// checkLoaded is checkDoc for a document that this node has stored before: where
// members sign, the signature alone is looked at, because the signer was a
// member then.
func (r *Reeve) checkLoaded(d *crux.Doc) error {
	err := r.checkDoc(d)
	if publishers, _ := r.cfg.Policy.Publishers(); len(publishers) > 0 || crux.KindOf(err) != crux.Denied {
		return err
	}
	msg := crux.Labelled(d.Kind.Label(), d.SignedBytes(r.cfg.Policy.Bloc()))
	for _, s := range d.Signatures {
		if len(s.Key) == ed25519.PublicKeySize && ed25519.Verify(s.Key, msg, s.Sig) {
			return nil
		}
	}
	return err
}

// StoreDoc checks a document and keeps it; it returns once it is on disk.
// Errors: Denied, Corrupt, and Conflict for a version that is not higher.
func (r *Reeve) StoreDoc(d crux.Doc) error {
	if have, ok := r.docs.get(d.DocKey); ok && have.Version == d.Version && string(have.Body) == string(d.Body) {
		return nil // it counted when it was stored
	}
	if err := r.checkDoc(&d); err != nil {
		return err
	}
	return r.docs.put(d)
}

// Register puts what other nodes may ask of this reeve on the node port.
func (r *Reeve) Register(s grpc.ServiceRegistrar) { pb.RegisterReeveServer(s, server{r: r}) }

type server struct {
	pb.UnimplementedReeveServer
	r *Reeve
}

// Store keeps a document and answers once it is on disk.
func (s server) Store(_ context.Context, m *pb.Doc) (*pb.StoreReply, error) {
	d, err := wire.DocFrom(m)
	if err != nil {
		return nil, err
	}
	if err := s.r.StoreDoc(d); err != nil {
		return nil, err
	}
	return &pb.StoreReply{}, nil
}

// Read gives the document that this node has.
func (s server) Read(_ context.Context, m *pb.DocKey) (*pb.Doc, error) {
	k, err := wire.DocKeyFrom(m)
	if err != nil {
		return nil, err
	}
	d, ok := s.r.docs.get(k)
	if !ok {
		return nil, crux.Errorf("read "+k.Name, crux.NotFound, "this node has no such document")
	}
	return wire.DocTo(&d), nil
}
