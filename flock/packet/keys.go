package packet

import (
	"encoding/binary"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/flock"
)

// secondary makes the key of discovery.
func secondary(s seal.Scope, secret bloc.Secondary) *seal.Key {
	return s.NewKey(secret[:], "fulcrum flock secondary v1")
}

// transient makes the key of an epoch.
func transient(s seal.Scope, t flock.Key) *seal.Key {
	return s.NewKey(t.Secret[:], "fulcrum flock transient v1",
		t.Flock[:], binary.BigEndian.AppendUint64(nil, t.Epoch))
}

// direction makes the key for what goes from one node to another. Both nodes'
// IDs, incarnations and exchange keys are bound in, so that a packet sent back to
// its sender, or on to anybody else, opens nothing.
func direction(s seal.Scope, root []byte, from, to *flock.Record) *seal.Key {
	return s.NewKey(root, "fulcrum flock pair v1",
		from.ID[:], binary.BigEndian.AppendUint64(nil, from.Incarnation), from.Exchange[:],
		to.ID[:], binary.BigEndian.AppendUint64(nil, to.Incarnation), to.Exchange[:])
}
