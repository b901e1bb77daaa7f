package keys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/crux/rpc/rpctest"
)

var ctx = context.Background()

// pair is two nodes of one bloc that know each other: a calls, b serves.
type pair struct {
	a, b    *Ring
	am, bm  crux.Member
	policy  *rpctest.Policy
	members *rpctest.Members // b's
	to      crux.Endpoint
}

func newPair(t *testing.T) *pair {
	t.Helper()
	ka, kb := rpctest.NodeKey(1), rpctest.NodeKey(2)
	am := rpctest.MemberOf(ka, netip.MustParseAddrPort("127.0.0.1:7001"))
	bm := rpctest.MemberOf(kb, netip.MustParseAddrPort("127.0.0.1:7002"))
	p := &pair{am: am, bm: bm, policy: rpctest.NewPolicy("test", am.Key, bm.Key)}
	p.policy.Allow("client", "galumph2", true)
	p.members = rpctest.NewMembers(bm.ID, am, bm)
	p.a = newRing(t, Config{NodeKey: ka, Policy: p.policy, Members: rpctest.NewMembers(am.ID, am, bm)})
	p.b = newRing(t, Config{NodeKey: kb, Policy: p.policy, Members: p.members})
	p.to = crux.Endpoint{Node: bm.ID, Horde: crux.DefaultHorde, Inst: "galumph2_3", NetID: "127.0.0.1:9000"}
	return p
}

func newRing(t *testing.T, cfg Config) *Ring {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func clientCert(t *testing.T, r *Ring, caller string, to crux.Endpoint) []byte {
	t.Helper()
	c, err := r.For(caller, crux.DefaultHorde).Client(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	return c.Certificate
}

func wantKind(t *testing.T, err error, kind crux.Kind) {
	t.Helper()
	if err == nil || crux.KindOf(err) != kind {
		t.Fatalf("got error %v (%v), want kind %v", err, crux.KindOf(err), kind)
	}
}

func (p *pair) server() crux.Keys { return p.b.For("galumph2_3", crux.DefaultHorde) }

func TestClientIsAdmittedAndNamed(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	cert := clientCert(t, p.a, "client", p.to)
	peer, err := p.server().AdmitClient(ctx, cert, p.to)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	if peer.Node != p.am.ID || peer.Caller != "client" || !bytes.Equal(peer.Key, c.PublicKey.(ed25519.PublicKey)) {
		t.Fatalf("admitted as %+v", peer)
	}
}

func TestServerIsAdmittedAndItsKeyIsTheRows(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	cred, err := p.server().Server(ctx, p.to)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := p.a.For("client", crux.DefaultHorde).AdmitServer(ctx, cred.Certificate, p.to)
	if err != nil {
		t.Fatal(err)
	}
	pub, gen, err := p.b.PublicKey(p.to)
	if err != nil || !bytes.Equal(pub, peer.Key) || gen != cred.Generation || peer.Caller != "galumph2_3" {
		t.Fatalf("row key %x gen %d, peer %+v, error %v", pub, gen, peer, err)
	}
}

func TestKeysAreUniqueToCallerAndDestination(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	seen := map[string]string{}
	for _, caller := range []string{"client", "other"} {
		for _, horde := range []crux.Horde{"default", "web"} {
			for _, inst := range []crux.Inst{"galumph2_3", "galumph2_4"} {
				for _, at := range []crux.NetID{"127.0.0.1:9000", "127.0.0.1:9001"} {
					to := crux.Endpoint{Node: p.bm.ID, Horde: horde, Inst: inst, NetID: at}
					c, err := p.a.For(caller, "default").Client(ctx, to)
					if err != nil {
						t.Fatal(err)
					}
					again, err := p.a.For(caller, "default").Client(ctx, to)
					if err != nil || !bytes.Equal(again.Certificate, c.Certificate) {
						t.Fatal("a second look gave another certificate", err)
					}
					pub := string(c.Signer.Public().(ed25519.PublicKey))
					name := caller + string(horde) + string(inst) + string(at)
					if o, dup := seen[pub]; dup {
						t.Fatalf("%s and %s share a key", o, name)
					}
					seen[pub] = name
				}
			}
		}
	}
}

func TestClientsThatAreRefused(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	stranger := newRing(t, Config{NodeKey: rpctest.NodeKey(9), Policy: p.policy, Members: p.members})
	foreign := newRing(t, Config{NodeKey: rpctest.NodeKey(1), Policy: rpctest.NewPolicy("elsewhere", p.am.Key), Members: p.members})
	elsewhere := p.to
	elsewhere.NetID = "127.0.0.1:9001"
	otherInst := p.to
	otherInst.Inst = "galumph2_4"
	server, err := p.server().Server(ctx, p.to)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cert []byte
		kind crux.Kind
	}{
		"no rule for the caller":  {clientCert(t, p.a, "stranger", p.to), crux.Denied},
		"key for another address": {clientCert(t, p.a, "client", elsewhere), crux.Denied},
		"key for another version": {clientCert(t, p.a, "client", otherInst), crux.Denied},
		"node is not enrolled":    {clientCert(t, stranger, "client", p.to), crux.Unknown},
		"other bloc":              {clientCert(t, foreign, "client", p.to), crux.Unknown},
		"a server's certificate":  {server.Certificate, crux.Unknown},
		"no certificate at all":   {[]byte("hello"), crux.Unknown},
		"foreign certificate":     {plainCertificate(t, nil), crux.Unknown},
		"stolen binding":          {plainCertificate(t, bindingIn(t, clientCert(t, p.a, "client", p.to))), crux.Unknown},
		"the node's own caller":   {clientCert(t, p.a, NodeCaller, p.to), crux.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.server().AdmitClient(ctx, c.cert, p.to)
			wantKind(t, err, c.kind)
		})
	}
}

func TestThePlatformsOwnServicesCallTheirLikeWithoutARule(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	b := newRing(t, Config{NodeKey: rpctest.NodeKey(2), Policy: p.policy, Members: p.members, Platform: []crux.API{"lashup1"}})
	at := crux.Endpoint{Node: p.bm.ID, Horde: crux.DefaultHorde, Inst: "lashup1_1", NetID: "127.0.0.1:9000"}
	admit := func(caller string, horde crux.Horde, at crux.Endpoint) error {
		c, err := p.a.For(caller, horde).Client(ctx, at)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.For(string(at.Inst), at.Horde).AdmitClient(ctx, c.Certificate, at)
		return err
	}
	if err := admit("lashup1_0", crux.DefaultHorde, at); err != nil {
		t.Errorf("another version of it: %v", err)
	}
	if err := admit(crux.Operator, crux.DefaultHorde, at); err != nil {
		t.Errorf("an operator: %v", err)
	}
	elsewhere, other := at, at
	elsewhere.Horde, other.Inst = "web", "galumph2_3"
	for why, err := range map[string]error{
		"another service":             admit("galumph2_3", crux.DefaultHorde, at),
		"a client that is called so":  admit("lashup1", crux.DefaultHorde, at),
		"one of another horde":        admit("lashup1_0", "web", at),
		"to another horde":            admit("lashup1_0", crux.DefaultHorde, elsewhere),
		"to another service":          admit("lashup1_0", crux.DefaultHorde, other),
		"a service without privilege": admit("galumph2_2", crux.DefaultHorde, other),
		"an operator to another":      admit(crux.Operator, crux.DefaultHorde, other),
	} {
		if crux.KindOf(err) != crux.Denied {
			t.Errorf("%s: %v, want it denied", why, err)
		}
	}
}

func TestServersThatAreRefused(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	elsewhere := p.to
	elsewhere.NetID = "127.0.0.1:9001"
	cred, err := p.server().Server(ctx, elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	caller := p.a.For("client", crux.DefaultHorde)
	_, err = caller.AdmitServer(ctx, cred.Certificate, p.to)
	wantKind(t, err, crux.Unknown)
	// Node a poses as b.
	own := p.to
	own.Node = p.am.ID
	posed, err := p.a.For("galumph2_3", crux.DefaultHorde).Server(ctx, own)
	if err != nil {
		t.Fatal(err)
	}
	_, err = caller.AdmitServer(ctx, posed.Certificate, p.to)
	wantKind(t, err, crux.Unknown)
	_, err = caller.AdmitServer(ctx, clientCert(t, p.a, "client", p.to), p.to)
	wantKind(t, err, crux.Unknown)
}

func TestWhoMayServeWhat(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	at := func(horde crux.Horde, inst crux.Inst) crux.Endpoint {
		return crux.Endpoint{Node: p.bm.ID, Horde: horde, Inst: inst, NetID: "127.0.0.1:9000"}
	}
	for _, c := range []struct {
		caller string
		at     crux.Endpoint
		ok     bool
	}{
		{"galumph2_3", at("default", "galumph2_3"), true},
		{"galumph2_3", at("default", "galumph-admin1_0"), true},
		{"galumph2_3", at("default", "galumph2_4"), false},
		{"galumph2_3", at("default", "galumphs1_0"), false},
		{"galumph2_3", at("web", "galumph2_3"), false},
		{"galumph2_3", at("default", rpc.NodeInst), false},
		{"client", at("default", "client-x1_0"), false},
		{NodeCaller, at("default", rpc.NodeInst), true},
		{NodeCaller, at("default", "galumph2_3"), false},
		{"galumph2_3", crux.Endpoint{Node: p.am.ID, Horde: "default", Inst: "galumph2_3", NetID: "127.0.0.1:1"}, false},
	} {
		if _, err := p.b.For(c.caller, "default").Server(ctx, c.at); (err == nil) != c.ok {
			t.Errorf("%s serving %+v: error %v", c.caller, c.at, err)
		}
	}
}

func TestNodePortIsForNodesOnly(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	at := crux.Endpoint{Node: p.bm.ID, Horde: crux.DefaultHorde, Inst: rpc.NodeInst, NetID: "127.0.0.1:7002"}
	node := p.b.For(NodeCaller, crux.DefaultHorde)
	if _, err := node.AdmitClient(ctx, clientCert(t, p.a, NodeCaller, at), at); err != nil {
		t.Fatal(err)
	}
	p.policy.Allow("client", "node1", true) // no rule opens the node port
	_, err := node.AdmitClient(ctx, clientCert(t, p.a, "client", at), at)
	wantKind(t, err, crux.Denied)
}

func TestRevocationRaisesTheGenerationAndSilencesTheOldKey(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	keys := p.a.For("client", crux.DefaultHorde)
	old, err := keys.Client(ctx, p.to)
	if err != nil {
		t.Fatal(err)
	}
	fired := p.b.Revoked()
	for _, r := range []*Ring{p.a, p.b} {
		if err := r.Revoke(Revocation{Node: p.am.ID, Caller: "client", Floor: old.Generation + 1}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-fired:
	default:
		t.Fatal("Revoked was not closed")
	}
	_, err = p.server().AdmitClient(ctx, old.Certificate, p.to)
	wantKind(t, err, crux.Denied)
	if _, err := old.Signer.Sign(nil, handshake(clientContext, 32), nil); crux.KindOf(err) != crux.Denied {
		t.Fatalf("the revoked key signed: %v", err)
	}
	fresh, err := keys.Client(ctx, p.to)
	if err != nil || fresh.Generation <= old.Generation || bytes.Equal(fresh.Certificate, old.Certificate) {
		t.Fatalf("generation %d after %d, error %v", fresh.Generation, old.Generation, err)
	}
	if _, err := p.server().AdmitClient(ctx, fresh.Certificate, p.to); err != nil {
		t.Fatal(err)
	}
	// Another caller of that node is not touched; all of them are by a wider one.
	p.policy.Allow("other", "galumph2", true)
	other := clientCert(t, p.a, "other", p.to)
	if _, err := p.server().AdmitClient(ctx, other, p.to); err != nil {
		t.Fatal(err)
	}
	if err := p.b.Revoke(Revocation{Node: p.am.ID, Floor: 9}); err != nil {
		t.Fatal(err)
	}
	_, err = p.server().AdmitClient(ctx, other, p.to)
	wantKind(t, err, crux.Denied)
}

func TestEvictedNodeIsRefusedAndOneThatIsMissingIsNot(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	cert := clientCert(t, p.a, "client", p.to)
	show := func(all ...crux.Member) { // and wait until the ring has seen it
		p.members.Set(p.bm.ID, all...)
		waitFor(t, "the ring to see the view", func() bool {
			p.b.mu.Lock()
			defer p.b.mu.Unlock()
			return p.b.last.Version == p.members.View().Version
		})
	}
	fired := p.b.Revoked()
	for what, s := range map[string]crux.MemberState{"fell silent": crux.Lost, "left, or is in another flock,": crux.Alive} {
		a := p.am
		a.State = s
		show(a, p.bm)
		show(p.bm)
		if _, err := p.server().AdmitClient(ctx, cert, p.to); err != nil {
			t.Fatalf("a node that %s was refused: %v", what, err)
		}
	}
	select {
	case <-fired:
		t.Fatal("connections are checked again though nobody was evicted")
	default:
	}
	show(p.am, p.bm)
	p.members.Evict(p.am.ID)
	select {
	case <-fired:
	case <-time.After(10 * time.Second):
		t.Fatal("the eviction fired nothing")
	}
	_, err := p.server().AdmitClient(ctx, cert, p.to)
	wantKind(t, err, crux.Denied)
	p.members.Set(p.bm.ID, p.am, p.bm)
	waitFor(t, "the node to be let in again", func() bool {
		_, err := p.server().AdmitClient(ctx, cert, p.to)
		return err == nil
	})
}

func TestOpenEnrolmentWantsAMember(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.policy.SetOpen(true)
	newcomer := newRing(t, Config{NodeKey: rpctest.NodeKey(7), Policy: p.policy, Members: p.members})
	cert := clientCert(t, newcomer, "client", p.to)
	_, err := p.server().AdmitClient(ctx, cert, p.to)
	wantKind(t, err, crux.Unavailable) // it may become one: the dialler tries again
	p.members.Set(p.bm.ID, p.am, p.bm, rpctest.MemberOf(rpctest.NodeKey(7), netip.MustParseAddrPort("127.0.0.1:7007")))
	if _, err := p.server().AdmitClient(ctx, cert, p.to); err != nil {
		t.Fatal(err)
	}
}

func TestPolicyChangeFiresAndCounts(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	cert := clientCert(t, p.a, "client", p.to)
	fired := p.b.Revoked()
	p.policy.Allow("client", "galumph2", false)
	p.b.PolicyChanged()
	<-fired
	_, err := p.server().AdmitClient(ctx, cert, p.to)
	wantKind(t, err, crux.Denied)
	p.policy.Allow("client", "galumph2", true)
	p.policy.Enrol(p.am.Key, false)
	_, err = p.server().AdmitClient(ctx, cert, p.to)
	wantKind(t, err, crux.Unknown)
}

func handshake(context string, hash int) []byte {
	return append(append(bytes.Repeat([]byte{' '}, 64), context...), make([]byte, hash)...)
}

func TestSignersSignHandshakesOfTheirSideOnly(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	client, err := p.a.For("client", crux.DefaultHorde).Client(ctx, p.to)
	if err != nil {
		t.Fatal(err)
	}
	server, err := p.server().Server(ctx, p.to)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cred crux.Credential
		msg  []byte
		ok   bool
	}{
		"client, own side":     {client, handshake(clientContext, 32), true},
		"client, long hash":    {client, handshake(clientContext, 48), true},
		"client, other side":   {client, handshake(serverContext, 32), false},
		"server, own side":     {server, handshake(serverContext, 32), true},
		"server, other side":   {server, handshake(clientContext, 32), false},
		"too short":            {client, handshake(clientContext, 31), false},
		"too long":             {client, handshake(clientContext, 49), false},
		"no padding":           {client, handshake(clientContext, 32)[1:], false},
		"a certificate's body": {client, client.Certificate, false},
		"a row":                {server, crux.Labelled(crux.LabelRow, []byte("row")), false},
		"nothing":              {client, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			sig, err := c.cred.Signer.Sign(rand.Reader, c.msg, nil)
			if (err == nil) != c.ok {
				t.Fatalf("error %v", err)
			}
			if err == nil && !ed25519.Verify(c.cred.Signer.Public().(ed25519.PublicKey), c.msg, sig) {
				t.Fatal("the signature does not verify")
			}
			if err != nil && crux.KindOf(err) != crux.Denied {
				t.Fatalf("kind %v", crux.KindOf(err))
			}
			if name != "client, other side" && name != "server, other side" {
				if e := CheckHandshakeMessage(c.msg); (e == nil) != c.ok {
					t.Fatalf("CheckHandshakeMessage: %v", e)
				}
			}
		})
	}
}

func TestHandlesBelongToTheirService(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	cred, err := p.a.For("client", crux.DefaultHorde).Client(ctx, p.to)
	if err != nil {
		t.Fatal(err)
	}
	handle := cred.Signer.(interface{ Handle() uint64 }).Handle()
	sign := func(caller string, handle uint64) error {
		k := p.a.For(caller, crux.DefaultHorde).(interface {
			SignHandshake(uint64, []byte) ([]byte, error)
		})
		_, err := k.SignHandshake(handle, handshake(clientContext, 32))
		return err
	}
	if err := sign("client", handle); err != nil {
		t.Fatal(err)
	}
	wantKind(t, sign("neighbour", handle), crux.NotFound)
	wantKind(t, sign("client", handle+1), crux.NotFound)
}

func TestServiceSignaturesStayInTheirAPI(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	mine := p.a.For("galumph2_3", crux.DefaultHorde)
	label := crux.LabelService + "galumph2 entry"
	sig, err := mine.Sign(ctx, label, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	next := p.b.For("galumph2_4", crux.DefaultHorde) // the next version of the same API
	if err := next.Verify(ctx, p.am.ID, label, []byte("hello"), sig); err != nil {
		t.Fatal(err)
	}
	wantKind(t, next.Verify(ctx, p.am.ID, label, []byte("hallo"), sig), crux.Corrupt)
	wantKind(t, next.Verify(ctx, p.bm.ID, label, []byte("hello"), sig), crux.Corrupt)
	wantKind(t, next.Verify(ctx, crux.NodeID{1}, label, []byte("hello"), sig), crux.Unknown)
	for _, l := range []string{crux.LabelRow, crux.LabelService + "galumph23 x", crux.LabelService + "other1 x", ""} {
		_, err := mine.Sign(ctx, l, nil)
		wantKind(t, err, crux.Denied)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	c := newCache[int, int](10)
	for i := range 1000 {
		c.put(i, i)
		if v, ok := c.get(0); ok && v != 0 {
			t.Fatal("wrong value")
		}
		if c.len() > 21 {
			t.Fatalf("%d entries", c.len())
		}
	}
	if _, ok := c.get(0); !ok {
		t.Fatal("what is asked for all the time was forgotten")
	}
	if _, ok := c.get(500); ok {
		t.Fatal("what nobody asks for was kept")
	}
}

func bindingIn(t *testing.T, der []byte) []byte {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.Extensions {
		if e.Id.Equal(bindingOID) {
			return e.Value
		}
	}
	t.Fatal("no binding")
	return nil
}

// plainCertificate is an attacker's certificate, with an extension if there is
// one.
func plainCertificate(t *testing.T, ext []byte) []byte {
	t.Helper()
	key := rpctest.NodeKey(66)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: notBefore, NotAfter: notAfter}
	if ext != nil {
		tmpl.ExtraExtensions = []pkix.Extension{{Id: bindingOID, Value: ext}}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
		<-time.After(time.Millisecond)
	}
}

func TestBindingHasOneEncoding(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	ext := bindingIn(t, clientCert(t, p.a, "client", p.to))
	b, err := parseSigned(ext)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.sign(rpctest.NodeKey(1)), ext) {
		t.Fatal("it does not encode to what it was parsed from")
	}
	for i := range ext {
		flipped := bytes.Clone(ext)
		flipped[i] ^= 1
		if _, err := parseSigned(flipped); err == nil {
			t.Fatalf("accepted with byte %d changed", i)
		}
	}
	for i := range ext {
		if _, err := parseSigned(ext[:i]); err == nil {
			t.Fatalf("accepted when cut to %d bytes", i)
		}
	}
	if _, err := parseSigned(append(bytes.Clone(ext), 0)); err == nil {
		t.Fatal("accepted with a byte too many")
	}
	if strings.Contains(string(ext), string(rpctest.NodeKey(1).Seed())) {
		t.Fatal("the binding holds the node's seed")
	}
}

func FuzzParseBinding(f *testing.F) {
	b := &binding{bloc: "test", role: roleClient, caller: "client", callerHorde: "default", generation: 1,
		nodeKey: rpctest.NodeKey(1).Public().(ed25519.PublicKey), key: rpctest.NodeKey(2).Public().(ed25519.PublicKey),
		to: crux.Endpoint{Horde: "default", Inst: "galumph2_3", NetID: "127.0.0.1:1"}}
	f.Add(b.encode())
	f.Add(b.sign(rpctest.NodeKey(1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, err := parseBinding(data); err == nil && !bytes.Equal(b.encode(), data) {
			t.Fatal("two encodings of one binding")
		}
		if b, err := parseSigned(data); err == nil && b == nil {
			t.Fatal("no binding and no error")
		}
	})
}

func FuzzParseCertificate(f *testing.F) {
	b := &binding{bloc: "test", role: roleServer, caller: "galumph2_3", callerHorde: "default", generation: 1,
		nodeKey: rpctest.NodeKey(1).Public().(ed25519.PublicKey), key: rpctest.NodeKey(2).Public().(ed25519.PublicKey),
		to: crux.Endpoint{Horde: "default", Inst: "galumph2_3", NetID: "127.0.0.1:1"}}
	der, err := makeCertificate(rpctest.NodeKey(2), b, rpctest.NodeKey(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, err := parseCertificate(data); err == nil && !b.nodeKey.Equal(rpctest.NodeKey(1).Public()) {
			t.Fatal("a binding of another node came out")
		}
	})
}

func BenchmarkAdmitClient(b *testing.B) {
	kb := rpctest.NodeKey(2)
	m := rpctest.MemberOf(kb, netip.MustParseAddrPort("127.0.0.1:7002"))
	policy := rpctest.NewPolicy("test", m.Key)
	policy.Allow("client", "galumph2", true)
	r, err := New(Config{NodeKey: kb, Policy: policy, Members: rpctest.NewMembers(m.ID, m)})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	to := crux.Endpoint{Node: m.ID, Horde: crux.DefaultHorde, Inst: "galumph2_3", NetID: "127.0.0.1:9000"}
	c, err := r.For("client", crux.DefaultHorde).Client(ctx, to)
	if err != nil {
		b.Fatal(err)
	}
	k := r.For("galumph2_3", crux.DefaultHorde)
	for b.Loop() {
		if _, err := k.AdmitClient(ctx, c.Certificate, to); err != nil {
			b.Fatal(err)
		}
	}
}
