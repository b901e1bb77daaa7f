package bloc

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"sync"
	"sync/atomic"

	"fulcrum.example/crux"
)

// Policy is the rules in force on a node: crux.Policy over the newest document
// that it has been given. All methods may be called from any goroutine; each
// answer comes from one whole document.
type Policy struct {
	mu  sync.Mutex // held to replace rules
	now atomic.Pointer[rules]
}

var _ crux.Policy = (*Policy)(nil)

// rules is one document, made quick to ask. It is immutable.
type rules struct {
	bloc       crux.BlocID
	doc        *Document // nil when there is no bloc file
	open       bool
	enrolled   map[[ed25519.PublicKeySize]byte]struct{}
	allow      map[Rule]struct{}
	publishers []ed25519.PublicKey
	need       int
	changed    chan struct{} // closed when these rules are replaced
}

// NewPolicy puts a document in force. The document is verified, and must not
// be changed afterwards.
func NewPolicy(d *Document) (*Policy, error) {
	r, err := newRules(d)
	if err != nil {
		return nil, err
	}
	p := new(Policy)
	p.now.Store(r)
	return p, nil
}

// OpenPolicy is what holds without a bloc file: enrolment is open, every call
// is allowed, and there are no publishers, so that any member may publish. No
// document ever replaces it, as there is no bloc key to trust one by.
func OpenPolicy(id crux.BlocID) *Policy {
	p := new(Policy)
	p.now.Store(&rules{
		bloc:    id,
		open:    true,
		allow:   map[Rule]struct{}{{Any, Any, Any}: {}},
		changed: make(chan struct{}),
	})
	return p
}

func newRules(d *Document) (*rules, error) {
	if err := d.Check(); err != nil {
		return nil, crux.Wrap("read bloc file", err)
	}
	if err := d.Verify(); err != nil {
		return nil, err
	}
	r := &rules{
		bloc:     d.Bloc,
		doc:      d,
		open:     d.Enroll == Open,
		enrolled: make(map[[ed25519.PublicKeySize]byte]struct{}, len(d.Nodes)),
		allow:    make(map[Rule]struct{}, len(d.Allow)),
		need:     d.Need,
		changed:  make(chan struct{}),
	}
	for _, k := range d.Nodes {
		r.enrolled[[ed25519.PublicKeySize]byte(k)] = struct{}{}
	}
	for _, a := range d.Allow {
		r.allow[a] = struct{}{}
	}
	for _, k := range d.Publishers {
		r.publishers = append(r.publishers, ed25519.PublicKey(k))
	}
	return r, nil
}

// Replace puts a newer document in force and says whether it did: the document
// in force given again is no error and no change. Errors: Denied for a document
// of another bloc or bloc key, and where no bloc file is in force; Conflict for
// a lower version, or for the same version with another content; what Verify
// says of a bad signature.
func (p *Policy) Replace(d *Document) (bool, error) {
	const op = "replace bloc file"
	r, err := newRules(d)
	if err != nil {
		return false, crux.Wrap(op, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.now.Load()
	switch {
	case old.doc == nil:
		return false, crux.Errorf(op, crux.Denied, "this node runs without a bloc file (enroll open); start it with --bloc-file to follow bloc %s", d.Bloc)
	case d.Bloc != old.bloc:
		return false, crux.Errorf(op, crux.Denied, "the file is of bloc %s; this node belongs to bloc %s", d.Bloc, old.bloc)
	case !bytes.Equal(d.Key, old.doc.Key):
		return false, crux.Errorf(op, crux.Denied, "the file is signed by another bloc key than the one that bloc %s has here", d.Bloc)
	case d.Version < old.doc.Version:
		return false, crux.Errorf(op, crux.Conflict, "the file is version %d; version %d is in force", d.Version, old.doc.Version)
	case d.Version == old.doc.Version:
		if !bytes.Equal(d.signedBytes(), old.doc.signedBytes()) {
			return false, crux.Errorf(op, crux.Conflict, "the file is another version %d than the one in force; raise its version and sign it again", d.Version)
		}
		return false, nil
	}
	p.now.Store(r)
	close(old.changed)
	return true, nil
}

// Changed is closed when the rules that hold now are replaced; ask anew for the
// next change. Ask before reading the rules, so that no change is missed.
func (p *Policy) Changed() <-chan struct{} { return p.now.Load().changed }

// Document is the document in force; nil if there is none (OpenPolicy). It is
// shared: nobody changes it.
func (p *Policy) Document() *Document { return p.now.Load().doc }

// Version is the version in force; 0 if there is no document.
func (p *Policy) Version() uint64 {
	if d := p.now.Load().doc; d != nil {
		return d.Version
	}
	return 0
}

// Bloc implements crux.Policy.
func (p *Policy) Bloc() crux.BlocID { return p.now.Load().bloc }

// Open implements crux.Policy.
func (p *Policy) Open() bool { return p.now.Load().open }

// Enrolled implements crux.Policy.
func (p *Policy) Enrolled(key ed25519.PublicKey) bool {
	if len(key) != ed25519.PublicKeySize {
		return false
	}
	r := p.now.Load()
	if r.open {
		return true
	}
	_, ok := r.enrolled[[ed25519.PublicKeySize]byte(key)]
	return ok
}

// Allowed implements crux.Policy. A rule's caller may be the caller itself or,
// where the caller is an instance, its API.
func (p *Policy) Allowed(caller string, horde crux.Horde, api crux.API) bool {
	r := p.now.Load()
	if caller == "" || caller == Any || horde == "" || horde == Any || api == "" || api == Any {
		return false
	}
	callers := [3]string{Any, caller, caller}
	// Only the canonical form is an instance: a client may be called
	// "galumph2.3", and is not thereby a version of galumph2.
	if i, err := crux.ParseInst(caller); err == nil && string(i) == caller {
		callers[2] = string(i.API())
	}
	for _, c := range callers {
		for _, h := range [2]string{Any, string(horde)} {
			for _, a := range [2]string{Any, string(api)} {
				if _, ok := r.allow[Rule{c, h, a}]; ok {
					return true
				}
			}
		}
	}
	return false
}

// Publishers implements crux.Policy. The slice is the caller's own.
func (p *Policy) Publishers() ([]ed25519.PublicKey, int) {
	r := p.now.Load()
	if len(r.publishers) == 0 {
		return nil, 1
	}
	return slices.Clone(r.publishers), r.need
}
