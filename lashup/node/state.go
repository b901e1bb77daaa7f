package node

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"encoding/json"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/fabric"
	"fulcrum.example/lashup/packet"
	"fulcrum.example/lashup/route"
)

// stateVersion is the version of what Freeze gives. A process that does not know
// it cannot take over.
const stateVersion = 1

// rowsAtOnce is how many adjacencies are in one encoding.
const rowsAtOnce = 64

// settledBy is when a table has long settled to which nothing happens.
const settledBy = time.Hour

// state is what one process hands to another. The zero value is that of a process
// that begins.
type state struct {
	Version  int
	Card     []byte        // route.Card, with its signature
	Session  []byte        // Ed25519 seed
	Exchange []byte        // X25519 private key
	Counter  uint64        // of datagrams
	Seen     []packet.Seen // of others' datagrams
	Clock    uint64        // of this node's adjacencies
	CastSeq  uint64
	Rows     [][]byte // route.Rows
	Links    []formerLink
	Held     []formerMember

	card *route.Card
}

// formerLink is a link of the process before.
type formerLink struct {
	Peer    crux.NodeID
	Dialled bool
}

// formerMember is a member that the process before knew, and when it was last
// listed in which flock.
type formerMember struct {
	Key   ed25519.PublicKey
	Flock crux.FlockID
	Ago   time.Duration
}

// before reads what the process before has left.
func (n *Node) before() (*state, error) {
	const op = "take over"
	if n.cfg.State == nil {
		return &state{}, nil
	}
	s := new(state)
	if err := json.Unmarshal(n.cfg.State, s); err != nil {
		return nil, crux.Errorf(op, crux.Corrupt, "%w", err)
	}
	if s.Version != stateVersion {
		return nil, crux.Errorf(op, crux.NotSupported, "the state is of version %d, this lashup takes %d", s.Version, stateVersion)
	}
	var err error
	if s.card, err = route.DecodeCard(s.Card); err != nil {
		return nil, crux.Errorf(op, crux.Corrupt, "%w", err)
	}
	if s.card.Node != n.id || len(s.Session) != ed25519.SeedSize {
		return nil, crux.Errorf(op, crux.Corrupt, "the state is that of another node")
	}
	return s, nil
}

// secrets are those of the process before, or new ones.
func (s *state) secrets() (secrets, error) {
	if s.card == nil {
		return newSecrets()
	}
	x, err := ecdh.X25519().NewPrivateKey(s.Exchange)
	if err != nil {
		return secrets{}, crux.Errorf("take over", crux.Corrupt, "%w", err)
	}
	return secrets{session: s.Session, exchange: x}, nil
}

// table makes a table of the rows.
func (s *state) table(self crux.NodeID, cfg *fabric.Config) (*route.Table, error) {
	const op = "take over"
	t := route.New(self, cfg.Index, cfg.Cache)
	for _, b := range s.Rows {
		m, err := route.Decode(b)
		rows, ok := m.(*route.Rows)
		if err != nil || !ok {
			return nil, crux.Errorf(op, crux.Corrupt, "the rows are malformed")
		}
		for _, a := range rows.Adjacencies {
			if _, err := t.Update(a); err != nil {
				return nil, crux.Errorf(op, crux.Corrupt, "%w", err)
			}
		}
	}
	if t.Get(self) == nil {
		return nil, crux.Errorf(op, crux.Corrupt, "this node's own row is missing")
	}
	// What was so is no event. The table reckons with times of its own so far.
	for t.Settle(0); t.NextSettle() < settledBy; {
		t.Settle(t.NextSettle())
	}
	return t, nil
}

// encodeRows encodes rows, some at a time.
func encodeRows(rows []*route.Adjacency) (out [][]byte) {
	for len(rows) > 0 {
		k := min(rowsAtOnce, len(rows))
		out = append(out, (&route.Rows{Adjacencies: rows[:k]}).Append(nil))
		rows = rows[k:]
	}
	return out
}

// restore takes in the members that the process before knew. Those that are missing
// are waited for anew.
func (r *roster) restore(list []formerMember) {
	for _, m := range list {
		r.held[crux.NodeIDOf(m.Key)] = &held{key: m.Key, flock: m.Flock, at: -m.Ago}
	}
}

// keep is what restore takes in.
func (r *roster) keep(now time.Duration) (list []formerMember) {
	for _, h := range r.held {
		list = append(list, formerMember{h.key, h.flock, now - h.at})
	}
	return list
}
