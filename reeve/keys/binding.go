package keys

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"

	"fulcrum.example/crux"
)

// The two roles of a binding.
const (
	roleClient = "client"
	roleServer = "server"
)

// bindingVersion is the first field of every binding and derivation.
const bindingVersion = "1"

// maxField bounds every variable field of a binding: names have at most 128
// bytes, keys 32.
const maxField = 255

// binding says whose an endpoint key is. The node key signs it:
//
//	version | bloc | role | node public key | caller | caller's horde |
//	destination node | horde | inst | NetID | generation (4 bytes) | endpoint public key
//
// Every field has its length before it (4 bytes, big-endian). The certificate's
// extension holds the binding and its signature, each as such a field.
type binding struct {
	bloc        crux.BlocID
	role        string
	nodeKey     ed25519.PublicKey
	caller      string // the calling service, or the serving one
	callerHorde crux.Horde
	to          crux.Endpoint
	generation  uint32
	key         ed25519.PublicKey
}

// node is the ID of the node that made the binding.
func (b *binding) node() crux.NodeID { return crux.NodeIDOf(b.nodeKey) }

// subject encodes everything but the two keys: what an endpoint key is derived
// from.
func (b *binding) subject() []byte {
	out := make([]byte, 0, 256)
	for _, f := range [][]byte{
		[]byte(bindingVersion), []byte(b.bloc), []byte(b.role), []byte(b.caller), []byte(b.callerHorde),
		b.to.Node[:], []byte(b.to.Horde), []byte(b.to.Inst), []byte(b.to.NetID), generationBytes(b.generation),
	} {
		out = crux.AppendField(out, f)
	}
	return out
}

// encode is the binding as the node key signs it.
func (b *binding) encode() []byte {
	out := make([]byte, 0, 320)
	for _, f := range [][]byte{
		[]byte(bindingVersion), []byte(b.bloc), []byte(b.role), b.nodeKey, []byte(b.caller), []byte(b.callerHorde),
		b.to.Node[:], []byte(b.to.Horde), []byte(b.to.Inst), []byte(b.to.NetID), generationBytes(b.generation), b.key,
	} {
		out = crux.AppendField(out, f)
	}
	return out
}

func generationBytes(g uint32) []byte { return binary.BigEndian.AppendUint32(nil, g) }

// sign encodes the binding with the node's signature, as the extension holds it.
func (b *binding) sign(nodeKey ed25519.PrivateKey) []byte {
	body := b.encode()
	sig := ed25519.Sign(nodeKey, crux.Labelled(crux.LabelBinding, body))
	return crux.AppendField(crux.AppendField(nil, body), sig)
}

// parseSigned reads what sign wrote and checks the signature. It accepts
// exactly one encoding of each binding.
func parseSigned(ext []byte) (*binding, error) {
	fields, ok := splitFields(ext, 2, 16*maxField)
	if !ok {
		return nil, errBinding("its extension is malformed")
	}
	b, err := parseBinding(fields[0])
	if err != nil {
		return nil, err
	}
	if len(fields[1]) != ed25519.SignatureSize ||
		!ed25519.Verify(b.nodeKey, crux.Labelled(crux.LabelBinding, fields[0]), fields[1]) {
		return nil, errBinding("its node's signature is wrong")
	}
	return b, nil
}

// parseBinding reads what encode wrote.
func parseBinding(body []byte) (*binding, error) {
	f, ok := splitFields(body, 12, maxField)
	if !ok {
		return nil, errBinding("its binding is malformed")
	}
	role := string(f[2])
	switch {
	case string(f[0]) != bindingVersion:
		return nil, errBinding("its binding has an unknown version")
	case role != roleClient && role != roleServer:
		return nil, errBinding("its binding has an unknown role")
	case len(f[3]) != ed25519.PublicKeySize || len(f[11]) != ed25519.PublicKeySize:
		return nil, errBinding("its binding holds a key of the wrong size")
	case len(f[6]) != len(crux.NodeID{}) || len(f[10]) != 4:
		return nil, errBinding("its binding holds a field of the wrong size")
	}
	return &binding{
		bloc:        crux.BlocID(f[1]),
		role:        role,
		nodeKey:     bytes.Clone(f[3]),
		caller:      string(f[4]),
		callerHorde: crux.Horde(f[5]),
		to: crux.Endpoint{
			Node: crux.NodeID(f[6]), Horde: crux.Horde(f[7]), Inst: crux.Inst(f[8]), NetID: crux.NetID(f[9]),
		},
		generation: binary.BigEndian.Uint32(f[10]),
		key:        bytes.Clone(f[11]),
	}, nil
}

// splitFields cuts b into exactly n length-prefixed fields of at most max bytes
// each, with nothing left over.
func splitFields(b []byte, n, max int) ([][]byte, bool) {
	out := make([][]byte, 0, n)
	for range n {
		if len(b) < 4 {
			return nil, false
		}
		l := binary.BigEndian.Uint32(b)
		b = b[4:]
		if uint64(l) > uint64(max) || int(l) > len(b) {
			return nil, false
		}
		out = append(out, b[:l])
		b = b[l:]
	}
	return out, len(b) == 0
}

func errBinding(what string) error {
	return crux.Errorf("check certificate", crux.Unknown, "the peer's certificate is not one of a fulcrum endpoint: %s", what)
}
