package crux

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"regexp"
)

// NodeID names a node: the first 8 bytes of SHA-256 over a label and the
// node's Ed25519 public key. It is printed as 16 hex digits. Whoever needs more
// than a name (who may join, whose signature this is) compares the whole key.
type NodeID [8]byte

// NodeIDOf derives the ID of the node that owns key.
func NodeIDOf(key ed25519.PublicKey) NodeID {
	h := sha256.New()
	h.Write([]byte("fulcrum node id\x00"))
	h.Write(key)
	var id NodeID
	copy(id[:], h.Sum(nil))
	return id
}

// ParseNodeID reads the 16 hex digits that String prints.
func ParseNodeID(s string) (NodeID, error) {
	var id NodeID
	if err := decodeHex(id[:], s); err != nil {
		return NodeID{}, Errorf("parse node id", Invalid, "%q is not a node ID: want %d hex digits", s, 2*len(id))
	}
	return id, nil
}

// String prints the ID as 16 hex digits.
func (id NodeID) String() string { return hex.EncodeToString(id[:]) }

// IsZero says whether id names no node.
func (id NodeID) IsZero() bool { return id == NodeID{} }

// Compare orders IDs bytewise.
func (id NodeID) Compare(o NodeID) int { return bytes.Compare(id[:], o[:]) }

// MarshalText makes the ID readable in JSON.
func (id NodeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *NodeID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseNodeID(string(b))
	return err
}

// FlockID names one flock for as long as it exists; it is minted at random by
// the node that founds the flock.
type FlockID [16]byte

// ParseFlockID reads the 32 hex digits that String prints.
func ParseFlockID(s string) (FlockID, error) {
	var id FlockID
	if err := decodeHex(id[:], s); err != nil {
		return FlockID{}, Errorf("parse flock id", Invalid, "%q is not a flock ID: want %d hex digits", s, 2*len(id))
	}
	return id, nil
}

// String prints the ID as 32 hex digits.
func (id FlockID) String() string { return hex.EncodeToString(id[:]) }

// IsZero says whether id names no flock.
func (id FlockID) IsZero() bool { return id == FlockID{} }

// Compare orders IDs bytewise.
func (id FlockID) Compare(o FlockID) int { return bytes.Compare(id[:], o[:]) }

// MarshalText makes the ID readable in JSON.
func (id FlockID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *FlockID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseFlockID(string(b))
	return err
}

func decodeHex(dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return hex.ErrLength
	}
	_, err := hex.Decode(dst, []byte(s))
	return err
}

// BlocID names a bloc. Flocking happens inside one bloc.
type BlocID string

// Horde names a subset of a flock: where applications run. Every registry row,
// selector and rule carries one.
type Horde string

// DefaultHorde is the horde of everything that names none.
const DefaultHorde Horde = "default"

var nameRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// ValidName says whether s may name a bloc, a flock, a horde or a caller: 1 to
// 63 of a-z, 0-9, dot and hyphen, beginning and ending with a letter or digit.
func ValidName(s string) bool { return nameRE.MatchString(s) }

// ParseBlocID checks the name of a bloc.
func ParseBlocID(s string) (BlocID, error) {
	if !ValidName(s) {
		return "", Errorf("parse bloc id", Invalid, "%q is not a bloc ID: want 1 to 63 of a-z, 0-9, dot and hyphen", s)
	}
	return BlocID(s), nil
}

// ParseHorde checks the name of a horde; the empty name is DefaultHorde.
func ParseHorde(s string) (Horde, error) {
	if s == "" {
		return DefaultHorde, nil
	}
	if !ValidName(s) {
		return "", Errorf("parse horde", Invalid, "%q is not a horde: want 1 to 63 of a-z, 0-9, dot and hyphen", s)
	}
	return Horde(s), nil
}

// NetID says where a service listens: host:port. Rows that travel carry the
// node's address, so that a client can dial it without a name service.
type NetID string

// NetIDOf prints an address as a NetID.
func NetIDOf(a netip.AddrPort) NetID { return NetID(a.String()) }

// AddrPort reads the NetID as an address.
func (n NetID) AddrPort() (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(string(n))
	if err != nil {
		return netip.AddrPort{}, Errorf("parse net id", Invalid, "%q is not ip:port", string(n))
	}
	return a, nil
}
