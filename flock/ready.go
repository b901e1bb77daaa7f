package flock

import (
	"crypto/ed25519"
	"log/slog"
	"math/rand/v2"
	"net/netip"

	"fulcrum.example/crux"
)

// Config is what a Machine is made of. All fields but Log are needed.
type Config struct {
	Bloc crux.BlocID
	Name string // the flock name that the user chose
	Addr netip.AddrPort
	// Key is this node's public node key, Exchange the public half of the
	// X25519 key that its process made at its start.
	Key      [32]byte
	Exchange [32]byte
	// Incarnation is greater than that of any earlier process of this node.
	Incarnation uint64
	File        Bloc // the bloc file at hand
	Candidates  crux.Candidates
	// Enrolled says whether the bloc file at hand admits the owner of a key.
	Enrolled func(ed25519.PublicKey) bool
	// Sign sets r.Signature, with the node key. Signatures of records that
	// come in were verified before Receive.
	Sign func(r *Record)
	// Entropy fills b with unpredictable bytes: flock IDs and transient keys.
	Entropy func(b []byte)
	// Rand is for jitter and for choosing whom to ask; no secret depends on it.
	Rand *rand.Rand
	// Log tells operators of changes; it may be nil.
	Log *slog.Logger
}

// Packet is a message that came in: authenticated, decoded, and with the
// signatures of its records verified.
type Packet struct {
	From        netip.AddrPort // where it came from
	Sender      crux.NodeID    // the sender in its header
	Incarnation uint64         // of the sender, in its header
	Message     Message
}

// Send is a message that goes out. It must be sealed (as Message.Sealing says)
// with the keys of the Ready that it is in.
type Send struct {
	To       netip.AddrPort
	Receiver crux.NodeID // zero only for a probe or a Join to a mere address
	Message  Message
}

// Key is one transient key. Several may have the same flock and epoch: what was
// proposed, and what came of it.
type Key struct {
	Flock  crux.FlockID
	Epoch  uint64
	Secret [32]byte
}

// Keys are all transient keys that are good now.
type Keys struct {
	Seal Key   // to seal Group messages with
	Open []Key // to open them with; Seal is among them; at most 8
}

// Fetch asks the driver to get the newer bloc file that a node holds, verify it,
// keep it and hand it in by SetFile. It is repeated while there is need.
type Fetch struct {
	From    crux.NodeID
	Addr    netip.AddrPort
	Version uint64
}

// Ready is what a call asks of the driver. The slice is good until the next
// call of the machine.
type Ready struct {
	// Keys, if not nil, replaces all transient keys. Apply it before sending.
	Keys *Keys
	// Sends are to be sent, in order.
	Sends []Send
	// Changed says that View would now give another view.
	Changed bool
	// Fetch, if not nil, asks for a newer bloc file.
	Fetch *Fetch
	// Ended says that this node left its flock, as Leave asked: send what is to
	// be sent, and stop.
	Ended bool
}

// Stats counts what a machine did. It only grows, except for sizes.
type Stats struct {
	Received [kinds]uint64 // messages taken in, by Kind
	Ignored  uint64        // messages that were stale, unknown or out of place
	Led      uint64        // epochs that this node has led
	Merges   uint64        // times that this node went from one flock to another
	Founded  uint64        // flocks that this node founded
}
