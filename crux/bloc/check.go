package bloc

import (
	"bytes"
	"crypto/ed25519"

	"fulcrum.example/crux"
)

// Check says what is wrong with a document, its signature apart: the first
// fault found, as an error of kind Invalid that names the field and its value.
func (d *Document) Check() error {
	if d.Format != Format {
		return invalid("format is %q; this fulcrum reads %q", d.Format, Format)
	}
	if _, err := crux.ParseBlocID(string(d.Bloc)); err != nil {
		return err
	}
	if !crux.ValidName(d.Flock) {
		return invalid("flock %q is not a name: want 1 to 63 of a-z, 0-9, dot and hyphen", d.Flock)
	}
	if d.Version == 0 {
		return invalid("version is 0; versions begin at 1")
	}
	if len(d.Key) != 0 && len(d.Key) != ed25519.PublicKeySize {
		return invalid("the bloc key has %d bytes instead of %d", len(d.Key), ed25519.PublicKeySize)
	}
	if err := d.checkNodes(); err != nil {
		return err
	}
	if err := d.checkPublishers(); err != nil {
		return err
	}
	return d.checkRules()
}

func (d *Document) checkNodes() error {
	switch d.Enroll {
	case Listed:
	case Open:
		if len(d.Nodes) > 0 {
			return invalid("enroll is open and nodes are listed; remove the list, or make it enroll: listed")
		}
	default:
		return invalid("enroll is %q; want %q or %q", d.Enroll, Listed, Open)
	}
	if len(d.Nodes) > MaxNodes {
		return invalid("%d nodes are listed; the limit is %d", len(d.Nodes), MaxNodes)
	}
	return checkKeys("nodes", d.Nodes)
}

func (d *Document) checkPublishers() error {
	switch n := len(d.Publishers); {
	case n > MaxPublishers:
		return invalid("%d publishers are listed; the limit is %d", n, MaxPublishers)
	case n == 0 && d.Need != 0:
		return invalid("need is %d, but no publisher is listed", d.Need)
	case n > 0 && (d.Need < 1 || d.Need > n):
		return invalid("need is %d; want 1 to %d, as many publishers as there are", d.Need, n)
	}
	return checkKeys("publishers", d.Publishers)
}

// checkKeys wants whole keys, each once: a publisher listed twice would count
// as two signers.
func checkKeys(field string, keys []PublicKey) error {
	seen := make(map[string]int, len(keys))
	for i, k := range keys {
		if len(k) != ed25519.PublicKeySize {
			return invalid("%s[%d] is not an Ed25519 public key", field, i)
		}
		if bytes.Equal(k, make([]byte, ed25519.PublicKeySize)) {
			return invalid("%s[%d] is all zeros", field, i)
		}
		if j, dup := seen[string(k)]; dup {
			return invalid("%s[%d] is the same key as %s[%d]", field, i, field, j)
		}
		seen[string(k)] = i
	}
	return nil
}

func (d *Document) checkRules() error {
	if len(d.Allow) > MaxRules {
		return invalid("%d allow rules; the limit is %d", len(d.Allow), MaxRules)
	}
	for i, r := range d.Allow {
		if err := r.check(); err != nil {
			return invalid("allow[%d]: %w", i, err)
		}
	}
	return nil
}

func (r Rule) check() error {
	if r.Caller != Any && !crux.ValidName(r.Caller) {
		// ParseInst also reads the dotted form, which would never match.
		if i, err := crux.ParseInst(r.Caller); err != nil || string(i) != r.Caller {
			return invalid(`caller %q is neither an instance (galumph2_3), an API (galumph2), a client's name nor "*"`, r.Caller)
		}
	}
	if r.Horde != Any && !crux.ValidName(r.Horde) {
		return invalid(`horde %q is neither a horde's name nor "*"`, r.Horde)
	}
	if r.API != Any {
		if _, err := crux.ParseAPI(r.API); err != nil {
			return invalid(`api %q is neither an API (galumph2) nor "*"; rules allow APIs, not instances`, r.API)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return crux.Errorf("", crux.Invalid, format, args...)
}
