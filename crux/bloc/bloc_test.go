package bloc

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"fulcrum.example/crux"
)

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(k ed25519.PrivateKey) PublicKey { return PublicKey(k.Public().(ed25519.PublicKey)) }

// sample is a signed document with something in every field.
func sample(t testing.TB, blocKey, node, publisher ed25519.PrivateKey) *Document {
	t.Helper()
	d := New("rack7", "main")
	d.Nodes = []PublicKey{public(node)}
	d.Allow = []Rule{{"client1", "default", "galumph2"}, {"galumph2", Any, "ntp1"}, {"web3_1", "web", Any}}
	d.Publishers = []PublicKey{public(publisher)}
	d.Need = 1
	if err := d.Sign(blocKey); err != nil {
		t.Fatal(err)
	}
	return d
}

func marshal(t testing.TB, d *Document) []byte {
	t.Helper()
	b, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestABlocFileReadsBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	d := sample(t, newKey(t), newKey(t), newKey(t))
	b := marshal(t, d)
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if again := marshal(t, got); !bytes.Equal(b, again) {
		t.Errorf("wrote\n%s\nread back as\n%s", b, again)
	}
}

func TestEveryFieldIsSigned(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	other := newKey(t)
	for name, change := range map[string]func(*Document){
		"bloc":       func(d *Document) { d.Bloc = "rack8" },
		"key":        func(d *Document) { d.Key = public(other) },
		"version":    func(d *Document) { d.Version++ },
		"flock":      func(d *Document) { d.Flock = "other" },
		"enroll":     func(d *Document) { d.Enroll, d.Nodes = Open, nil },
		"nodes":      func(d *Document) { d.Nodes = append(d.Nodes, public(other)) },
		"allow":      func(d *Document) { d.Allow[0].Caller = Any },
		"horde":      func(d *Document) { d.Allow[0].Horde = Any },
		"api":        func(d *Document) { d.Allow[0].API = Any },
		"publishers": func(d *Document) { d.Publishers[0] = public(other) },
		"need":       func(d *Document) { d.Publishers = append(d.Publishers, public(other)); d.Need = 2 },
		"signature":  func(d *Document) { d.Signature[0] ^= 1 },
	} {
		d := sample(t, k, newKey(t), newKey(t))
		change(d)
		if _, err := Parse(marshal(t, d)); crux.KindOf(err) != crux.Corrupt {
			t.Errorf("%s changed after signing: got %v, want a Corrupt error", name, err)
		}
	}
	d := sample(t, k, newKey(t), newKey(t))
	d.Signature = nil
	if _, err := Parse(marshal(t, d)); crux.KindOf(err) != crux.Invalid || !strings.Contains(err.Error(), "bloc sign") {
		t.Errorf("unsigned: %v", err)
	}
}

func TestFaultyBlocFilesAreRefused(t *testing.T) {
	t.Parallel()
	node := newKey(t)
	for says, change := range map[string]func(*Document){
		"fulcrum-bloc-2":            func(d *Document) { d.Format = "fulcrum-bloc-2" },
		"Rack":                      func(d *Document) { d.Bloc = "Rack" },
		"flock":                     func(d *Document) { d.Flock = "" },
		"version is 0":              func(d *Document) { d.Version = 0 },
		`enroll is "maybe"`:         func(d *Document) { d.Enroll = "maybe" },
		"enroll is open and nodes":  func(d *Document) { d.Enroll = Open },
		"the same key as nodes[0]":  func(d *Document) { d.Nodes = append(d.Nodes, d.Nodes[0]) },
		"all zeros":                 func(d *Document) { d.Nodes[0] = make(PublicKey, 32) },
		"need is 2":                 func(d *Document) { d.Need = 2 },
		"need is 0":                 func(d *Document) { d.Need = 0 },
		"no publisher":              func(d *Document) { d.Publishers = nil },
		"caller \"galumph*\"":       func(d *Document) { d.Allow[0].Caller = "galumph*" },
		"horde \"\"":                func(d *Document) { d.Allow[0].Horde = "" },
		"rules allow APIs":          func(d *Document) { d.Allow[0].API = "galumph2_3" },
		"limit is 64":               func(d *Document) { d.Publishers = make([]PublicKey, 65) },
		"allow rules; the limit is": func(d *Document) { d.Allow = make([]Rule, MaxRules+1) },
		"listed; the limit is":      func(d *Document) { d.Nodes = make([]PublicKey, MaxNodes+1) },
	} {
		d := sample(t, newKey(t), node, newKey(t))
		change(d)
		err := d.Sign(newKey(t))
		if crux.KindOf(err) != crux.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want an Invalid error that says %q", err, says)
		}
	}
}

func TestOnlyAWholeDocumentOfKnownFieldsIsRead(t *testing.T) {
	t.Parallel()
	good := string(marshal(t, sample(t, newKey(t), newKey(t), newKey(t))))
	for name, text := range map[string]string{
		"empty":          "",
		"not JSON":       "bloc: rack7",
		"truncated":      good[:len(good)-3],
		"trailing data":  good + "{}",
		"unknown field":  strings.Replace(good, `"need"`, `"nead"`, 1),
		"too long":       good + strings.Repeat(" ", MaxSize),
		"truncated key":  strings.Replace(good, `"key": "ed25519:`, `"key": "ed25519:A`, 1),
		"rule with more": strings.Replace(good, `"caller"`, `"deny": "x", "caller"`, 1),
	} {
		if _, err := Parse([]byte(text)); crux.KindOf(err) != crux.Invalid {
			t.Errorf("%s: got %v, want an Invalid error", name, err)
		}
	}
}

func TestAPolicyIsReplacedOnlyByAHigherVersionOfTheSameKey(t *testing.T) {
	t.Parallel()
	k, node, newcomer := newKey(t), newKey(t), newKey(t)
	p, err := NewPolicy(sample(t, k, node, newKey(t)))
	if err != nil {
		t.Fatal(err)
	}
	next := func(blocKey ed25519.PrivateKey, change func(*Document)) *Document {
		d := *p.Document()
		change(&d)
		if err := d.Sign(blocKey); err != nil {
			t.Fatal(err)
		}
		return &d
	}
	for name, c := range map[string]struct {
		d    *Document
		kind crux.Kind
	}{
		"another bloc":                 {next(k, func(d *Document) { d.Bloc, d.Version = "rack8", 9 }), crux.Denied},
		"another bloc key":             {next(newKey(t), func(d *Document) { d.Version = 9 }), crux.Denied},
		"equal version, other content": {next(k, func(d *Document) { d.Nodes = nil }), crux.Conflict},
	} {
		if ok, err := p.Replace(c.d); ok || crux.KindOf(err) != c.kind {
			t.Errorf("%s: %v, %v; want a %v error", name, ok, err, c.kind)
		}
	}
	if ok, err := p.Replace(next(k, func(*Document) {})); ok || err != nil {
		t.Errorf("the same document again: %v, %v; want no change and no error", ok, err)
	}

	changed, old := p.Changed(), p.Document()
	select {
	case <-changed:
		t.Fatal("a change was told where there was none")
	default:
	}
	v2 := next(k, func(d *Document) { d.Version, d.Nodes = 2, []PublicKey{public(newcomer)} })
	if ok, err := p.Replace(v2); !ok || err != nil {
		t.Fatalf("version 2: %v, %v", ok, err)
	}
	select {
	case <-changed:
	default:
		t.Error("the change was not told")
	}
	if p.Enrolled(ed25519.PublicKey(public(node))) || !p.Enrolled(ed25519.PublicKey(public(newcomer))) || p.Version() != 2 {
		t.Error("version 2 is not in force")
	}
	if ok, err := p.Replace(old); ok || crux.KindOf(err) != crux.Conflict {
		t.Errorf("version 1 after 2: %v, %v; want a Conflict error", ok, err)
	}
	v3 := *v2
	v3.Version = 3
	if ok, err := p.Replace(&v3); ok || crux.KindOf(err) != crux.Corrupt {
		t.Errorf("version raised without the key: %v, %v; want a Corrupt error", ok, err)
	}
}

func TestRulesMatchExactly(t *testing.T) {
	t.Parallel()
	p, err := NewPolicy(sample(t, newKey(t), newKey(t), newKey(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		caller string
		horde  crux.Horde
		api    crux.API
		want   bool
	}{
		{"client1", "default", "galumph2", true},
		{"client1", "web", "galumph2", false},
		{"client1", "default", "galumph22", false},
		{"client12", "default", "galumph2", false},
		{"galumph2_3", "any", "ntp1", true}, // a version of the API that the rule names
		{"galumph2_10_1", "any", "ntp1", true},
		{"galumph2", "any", "ntp1", true},
		{"galumph2.3", "any", "ntp1", false}, // a client's name, not a version
		{"galumph22_3", "any", "ntp1", false},
		{"web3_1", "web", "whatever7", true},
		{"web3_2", "web", "whatever7", false}, // the rule names one instance
		{"web3", "web", "whatever7", false},
		{"*", "default", "galumph2", false}, // a caller cannot be a wildcard
		{"", "", "", false},
	} {
		if got := p.Allowed(c.caller, c.horde, c.api); got != c.want {
			t.Errorf("Allowed(%q, %q, %q) = %v", c.caller, c.horde, c.api, got)
		}
	}
}

func TestOpenPolicyAllowsCallsAndFollowsNobody(t *testing.T) {
	t.Parallel()
	p := OpenPolicy("lab")
	keys, need := p.Publishers()
	if !p.Open() || !p.Enrolled(ed25519.PublicKey(public(newKey(t)))) || p.Enrolled(nil) ||
		!p.Allowed("anybody", "default", "galumph2") || len(keys) != 0 || need != 1 || p.Bloc() != "lab" || p.Version() != 0 {
		t.Error("open policy does not say what it should")
	}
	d := New("lab", "main")
	if err := d.Sign(newKey(t)); err != nil {
		t.Fatal(err)
	}
	if ok, err := p.Replace(d); ok || crux.KindOf(err) != crux.Denied {
		t.Errorf("Replace: %v, %v; want a Denied error", ok, err)
	}
}

func TestKeysHaveTextFormsThatAreNotTakenForOneAnother(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	s, err := NewSecondary(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseSecondary([]byte("# shared\n\n  " + s.Format() + "\r\n")); err != nil || got != s {
		t.Errorf("secondary: %v, %v", got, err)
	}
	if got, err := ParseBlocKey([]byte(FormatBlocKey(k))); err != nil || !got.Equal(k) {
		t.Errorf("bloc key: %v", err)
	}
	if got, err := ParsePublisherKey([]byte(FormatPublisherKey(k))); err != nil || !got.Equal(k) {
		t.Errorf("publisher key: %v", err)
	}
	if got, err := ParsePublicKey(public(k).String()); err != nil || !bytes.Equal(got, public(k)) {
		t.Errorf("public key: %v", err)
	}
	for text, says := range map[string]string{
		"":                                  "no key",
		"# nothing":                         "no key",
		"secret":                            "does not begin",
		s.Format() + "\n" + s.Format():      "more than one line",
		FormatBlocKey(k):                    "this is a bloc key",
		s.Format()[:30]:                     "damaged",
		format(secondaryPrefix, s[:31]):     "damaged",
		format(secondaryPrefix, zeros[:]):   "all zeros",
		strings.Repeat("#\n", 1+maxKeyText): "too long",
	} {
		_, err := ParseSecondary([]byte(text))
		if crux.KindOf(err) != crux.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want an Invalid error that says %q", err, says)
		}
		if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("the error repeats what may be a secret: %v", err)
		}
	}
}

var zeros [32]byte

func TestASecretDoesNotPrint(t *testing.T) {
	t.Parallel()
	s, err := NewSecondary(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.TrimPrefix(s.Format(), secondaryPrefix+":")
	for _, p := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s", s, s, s, s), string(j), fmt.Sprintf("%v", struct{ S Secondary }{s})} {
		if strings.Contains(p, secret) || strings.Contains(p, fmt.Sprint(s[0], s[1], s[2])) || !strings.Contains(p, s.ID()) {
			t.Errorf("prints as %q", p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(marshal(f, sample(f, newKey(f), newKey(f), newKey(f))))
	f.Add([]byte(`{"format":"fulcrum-bloc-1"}`))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(marshal(t, d))
		if err != nil || !bytes.Equal(d.signedBytes(), again.signedBytes()) {
			t.Fatalf("what was read does not read back: %v", err)
		}
		if p, err := NewPolicy(d); err == nil {
			p.Allowed("a", "b", "c1")
		}
	})
}
