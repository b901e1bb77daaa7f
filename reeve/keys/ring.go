package keys

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
)

// NodeCaller is the name under which nodes call each other.
const NodeCaller = "fulcrum"

const (
	maxCached      = 4096             // certificates, checked bindings and handles, each in half
	maxRevocations = 65536            // floors
	silentGrace    = 60 * time.Second // twice a lease: services without their node end after one
)

// Config is what a Ring is made of.
type Config struct {
	NodeKey ed25519.PrivateKey
	Policy  crux.Policy
	Members crux.Members
	// MayServe says which instances a service may serve besides its own. Nil:
	// those whose name begins with the service's own name and a hyphen
	// (galumph2_3 may serve galumph-admin1_0).
	MayServe func(caller string, horde crux.Horde, inst crux.Inst) bool
	// Platform lists the APIs of the platform itself. In the default horde their
	// instances on different nodes call each other, and crux.Operator calls
	// them, without a rule in the bloc file. What runs under such a name is
	// built in, or published by those whom the bloc file trusts to publish.
	Platform []crux.API
	Clock    crux.Clock   // nil: the real one
	Log      *slog.Logger // nil: none
}

// Revocation makes worthless every key of (Node, Caller) for To whose
// generation is below Floor. A zero To, or an empty Caller, means all.
type Revocation struct {
	Node   crux.NodeID
	Caller string
	To     crux.Endpoint
	Floor  uint32
}

type floorKey struct {
	node   crux.NodeID
	caller string
	to     crux.Endpoint
}

// service is one service of this node: whom keys are handed to.
type service struct {
	caller string
	horde  crux.Horde
}

type certKey struct {
	role       string
	owner      service
	to         crux.Endpoint
	generation uint32
}

type identity struct {
	cred crux.Credential
	sign *signer
}

// Ring holds the endpoint keys of one node and the knowledge to admit those of
// others. Close it.
type Ring struct {
	cfg     Config
	self    crux.NodeID
	seed    []byte
	made    *cache[certKey, identity]
	checked *cache[crux.Checksum, *binding]
	handles *cache[uint64, *signer]
	next    atomic.Uint64

	mu      sync.Mutex
	floors  map[floorKey]uint32
	evicted map[crux.NodeID]bool
	silent  map[crux.NodeID]time.Time // until when a member that is missing is still known
	last    *crux.View
	revoked chan struct{}

	stop context.CancelFunc
	done chan struct{}
}

// New makes a ring and follows the members until Close.
func New(cfg Config) (*Ring, error) {
	if len(cfg.NodeKey) != ed25519.PrivateKeySize || cfg.Policy == nil || cfg.Members == nil {
		return nil, crux.Errorf("open keys", crux.Invalid, "a node key, a policy and members are needed")
	}
	seed, err := deriveSeed(cfg.NodeKey)
	if err != nil {
		return nil, crux.Errorf("open keys", crux.Internal, "%w", err)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MayServe == nil {
		cfg.MayServe = mayServe
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &Ring{
		cfg: cfg, seed: seed,
		self:    crux.NodeIDOf(cfg.NodeKey.Public().(ed25519.PublicKey)),
		made:    newCache[certKey, identity](maxCached),
		checked: newCache[crux.Checksum, *binding](maxCached),
		handles: newCache[uint64, *signer](maxCached),
		floors:  make(map[floorKey]uint32),
		evicted: make(map[crux.NodeID]bool),
		silent:  make(map[crux.NodeID]time.Time),
		revoked: make(chan struct{}),
		stop:    stop, done: make(chan struct{}),
	}
	r.observe(cfg.Members.View())
	views := cfg.Members.Watch(ctx)
	go func() {
		defer close(r.done)
		for v := range views {
			r.observe(v)
		}
	}()
	return r, nil
}

// Close stops following the members. Keys that were handed out keep working
// with what was known last.
func (r *Ring) Close() error {
	r.stop()
	<-r.done
	return nil
}

// For gives the keys of one service of this node: caller is the instance that
// runs, or the name of an attached client. NodeCaller is the node itself;
// whoever takes names from outside refuses it.
//
// The keys also have SignHandshake(handle, msg), for a node that signs on
// behalf of a child: the signers of their credentials have Handle().
func (r *Ring) For(caller string, horde crux.Horde) crux.Keys {
	return &Keys{ring: r, service: service{caller, horde}}
}

// PublicKey gives the public half of the server key of an endpoint of this
// node, and its generation: what the registry row shows.
func (r *Ring) PublicKey(at crux.Endpoint) (ed25519.PublicKey, uint32, error) {
	id, err := r.identity(roleServer, service{string(at.Inst), at.Horde}, at)
	if err != nil {
		return nil, 0, err
	}
	return id.sign.bind.key, id.sign.bind.generation, nil
}

// Revoke raises the floor of what v names, for keys of this node (which makes
// new ones from then on) and of others, and has connections checked again. A
// lower floor than the one known changes nothing.
func (r *Ring) Revoke(v Revocation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := floorKey{v.Node, v.Caller, v.To}
	if v.Floor <= r.floors[k] {
		return nil
	}
	if len(r.floors) >= maxRevocations {
		return crux.Errorf("revoke endpoint key", crux.Exhausted,
			"%d revocations are known, no more are kept; evict the node instead", len(r.floors))
	}
	r.floors[k] = v.Floor
	r.fireLocked()
	r.cfg.Log.Info("endpoint keys revoked", "node", v.Node, "caller", v.Caller, "inst", v.To.Inst, "below", v.Floor)
	return nil
}

// PolicyChanged has connections checked again; call it when the policy's
// answers changed.
func (r *Ring) PolicyChanged() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fireLocked()
}

// Revoked is closed when admitted connections must be checked again.
func (r *Ring) Revoked() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.revoked
}

func (r *Ring) fireLocked() {
	close(r.revoked)
	r.revoked = make(chan struct{})
}

// observe learns who is a member, and who was evicted: that counts in whatever
// flock this node is next, until there the other is a member again. Who is missing
// otherwise has left, is in another flock or has fallen silent; it is remembered
// for a while, because its services may outlive it.
func (r *Ring) observe(v *crux.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Clock.Now()
	fire := false
	if p := r.last; p != nil && p.Flock == v.Flock && p.Synced && v.Synced {
		for _, m := range p.Members {
			if _, still := v.Member(m.ID); !still {
				r.silent[m.ID] = now.Add(silentGrace)
			}
		}
	}
	for _, id := range v.Evicted {
		fire = fire || !r.evicted[id]
		r.evicted[id] = true
	}
	for _, m := range v.Members {
		delete(r.evicted, m.ID)
		delete(r.silent, m.ID)
	}
	for id, until := range r.silent {
		if now.After(until) {
			delete(r.silent, id)
		}
	}
	r.last = v
	if fire {
		r.fireLocked()
	}
}

// floor is the lowest generation that counts for what b binds.
func (r *Ring) floor(b *binding) uint32 {
	node := b.node()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.floors) == 0 {
		return 0
	}
	return max(
		r.floors[floorKey{node, b.caller, b.to}], r.floors[floorKey{node: node, caller: b.caller}],
		r.floors[floorKey{node: node, to: b.to}], r.floors[floorKey{node: node}],
	)
}

// identity makes, or finds, the key and certificate of one endpoint. The
// binding of a server names the instance as the service, so that whoever knows
// the endpoint can name its key.
func (r *Ring) identity(role string, owner service, to crux.Endpoint) (identity, error) {
	b := &binding{
		bloc: r.cfg.Policy.Bloc(), role: role, caller: owner.caller, callerHorde: owner.horde, to: to,
		nodeKey: r.cfg.NodeKey.Public().(ed25519.PublicKey),
	}
	if role == roleServer {
		b.caller = string(to.Inst)
	}
	b.generation = max(1, r.floor(b))
	k := certKey{role, owner, to, b.generation}
	if id, ok := r.made.get(k); ok {
		return id, nil
	}
	for _, f := range []string{string(b.bloc), b.caller, string(owner.horde), string(to.Horde), string(to.Inst), string(to.NetID)} {
		if f == "" || len(f) > maxField {
			return identity{}, crux.Errorf("make endpoint key", crux.Invalid,
				"the endpoint %s/%s at %q of caller %q has an empty or overlong name", to.Horde, to.Inst, to.NetID, owner.caller)
		}
	}
	key, err := deriveKey(r.seed, b)
	if err != nil {
		return identity{}, crux.Errorf("make endpoint key", crux.Internal, "%w", err)
	}
	b.key = key.Public().(ed25519.PublicKey)
	der, err := makeCertificate(key, b, r.cfg.NodeKey)
	if err != nil {
		return identity{}, crux.Errorf("make endpoint key", crux.Internal, "%w", err)
	}
	s := &signer{ring: r, key: key, bind: b, owner: owner, handle: r.next.Add(1)}
	id := identity{cred: crux.Credential{Certificate: der, Signer: s, Generation: b.generation}, sign: s}
	r.made.put(k, id)
	r.handles.put(s.handle, s)
	return id, nil
}

// mayServe is the rule when Config names none.
func mayServe(caller string, _ crux.Horde, inst crux.Inst) bool {
	i, err := crux.ParseInst(caller)
	if err != nil {
		return false
	}
	name := strings.TrimRight(string(i.API()), "0123456789")
	return strings.HasPrefix(string(inst), name+"-")
}
