package wire

import (
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/protos/reeve"
	"fulcrum.example/protos/steward"
)

// maxDoc bounds the body of a document, in bytes.
const maxDoc = 64 << 10

// DocKeyTo writes a document's key.
func DocKeyTo(k crux.DocKey) *reeve.DocKey {
	return &reeve.DocKey{Kind: string(k.Kind), Name: k.Name}
}

// DocKeyFrom reads a document's key.
func DocKeyFrom(m *reeve.DocKey) (crux.DocKey, error) {
	k := crux.DocKey{Kind: crux.DocKind(m.GetKind()), Name: m.GetName()}
	if k.Kind != crux.MusterDoc && k.Kind != crux.IntentDoc || k.Name == "" || len(k.Name) > 256 {
		return crux.DocKey{}, crux.Errorf("decode document", crux.Invalid, "no document is called %q %q", m.GetKind(), m.GetName())
	}
	return k, nil
}

// DocTo writes a document.
func DocTo(d *crux.Doc) *reeve.Doc {
	m := &reeve.Doc{Key: DocKeyTo(d.DocKey), Version: d.Version, Body: d.Body}
	for _, s := range d.Signatures {
		m.Signatures = append(m.Signatures, &reeve.DocSignature{Key: s.Key, Sig: s.Sig})
	}
	return m
}

// DocFrom reads a document; whether its signatures count is the caller's to
// check.
func DocFrom(m *reeve.Doc) (crux.Doc, error) {
	k, err := DocKeyFrom(m.GetKey())
	if err != nil {
		return crux.Doc{}, err
	}
	if len(m.GetBody()) > maxDoc || len(m.GetSignatures()) > 64 {
		return crux.Doc{}, crux.Errorf("decode document", crux.Invalid, "%s is larger than documents may be (%d bytes)", k.Name, maxDoc)
	}
	d := crux.Doc{DocKey: k, Version: m.GetVersion(), Body: m.GetBody()}
	for _, s := range m.GetSignatures() {
		d.Signatures = append(d.Signatures, crux.DocSignature{Key: s.GetKey(), Sig: s.GetSig()})
	}
	return d, nil
}

// DigestTo writes a digest.
func DigestTo(d *crux.Digest) *steward.Digest {
	return &steward.Digest{
		Node: NodeIDTo(d.Node), Incarnation: d.Incarnation, Seq: d.Seq, Count: d.Count, Hash: d.Hash[:],
		Complete: d.Complete, TtlNano: int64(d.TTL), Signature: d.Signature,
	}
}

// DigestFrom reads a digest; its signature is the caller's to check.
func DigestFrom(m *steward.Digest) (crux.Digest, error) {
	id, err := nodeID(m.GetNode())
	if err != nil {
		return crux.Digest{}, err
	}
	d := crux.Digest{
		Node: id, Incarnation: m.GetIncarnation(), Seq: m.GetSeq(), Count: m.GetCount(),
		Complete: m.GetComplete(), TTL: time.Duration(m.GetTtlNano()), Signature: m.GetSignature(),
	}
	if id.IsZero() || len(m.GetHash()) != len(d.Hash) || d.TTL <= 0 || d.TTL > maxLease {
		return crux.Digest{}, crux.Errorf("decode digest", crux.Invalid, "a digest lacks its node, its hash or its lease")
	}
	copy(d.Hash[:], m.GetHash())
	return d, nil
}
