package dean

import (
	"slices"

	"fulcrum.example/crux"
)

// verify says whether a unit may be started: the signed intent of its API names
// its instance, and the signed muster row of that instance names its artifact,
// kind and function. What dean verified once and started, the version that an
// intent replaces that is, may be started again until the list drops it; an
// old version that never ran here may not.
func verify(docs crux.Docs, u crux.Unit, started []crux.Unit) error {
	if slices.Contains(started, u) {
		return nil
	}
	if err := verifyMuster(docs, u); err != nil {
		return err
	}
	d, ok := docs.Get(crux.DocKey{Kind: crux.IntentDoc, Name: crux.IntentName(u.Horde, u.API)})
	if !ok {
		return crux.Errorf("", crux.Denied, "no signed intent of %s is known here (yet)", u.API)
	}
	i, err := d.Intent()
	switch {
	case err != nil:
		return err
	case i.Inst != u.Inst:
		return crux.Errorf("", crux.Denied, "the signed intent of %s known here names %s", u.API, i.Inst)
	case i.Count < 1:
		return crux.Errorf("", crux.Denied, "the signed intent of %s known here wants none", u.API)
	}
	return nil
}

func verifyMuster(docs crux.Docs, u crux.Unit) error {
	d, ok := docs.Get(crux.DocKey{Kind: crux.MusterDoc, Name: crux.MusterName(u.Horde, u.Inst)})
	if !ok {
		return crux.Errorf("", crux.Denied, "no signed muster row of %s is known here (yet)", u.Inst)
	}
	f, err := d.Function()
	switch {
	case err != nil:
		return err
	case f.API != u.API || f.Kind != u.Kind || f.Func != u.Func:
		return crux.Errorf("", crux.Denied, "the signed muster row of %s says %s %s, the list %s %s", u.Inst, f.Kind, f.Func, u.Kind, u.Func)
	case f.Checksum != u.Checksum:
		return crux.Errorf("", crux.Denied, "the signed muster row of %s names artifact %s, the list %s", u.Inst, f.Checksum, u.Checksum)
	case u.Kind.HasArtifact() && u.Checksum.IsZero():
		return crux.Errorf("", crux.Denied, "%s has no checksum", u.Inst)
	}
	return nil
}
