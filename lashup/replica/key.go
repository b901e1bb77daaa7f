package replica

import (
	"strings"
	"unicode/utf8"

	"fulcrum.example/crux"
)

// Bounds of keys.
const (
	MaxElements = 64
	MaxKey      = 1 << 10 // bytes, encoded
)

// The first and third elements of keys that have an owner.
const (
	ownedElement    = "node"
	volatileElement = "volatile"
)

// A key's encoding is its elements, each with a zero byte after it; a zero byte
// inside an element is followed by 0xff, which no element (UTF-8) begins with.
// The encodings sort as the keys do, element by element, and the encoding of a
// prefix is a prefix of the encoding. (The other way round it need not be: the
// element may go on with a zero byte.)

// EncodeKey gives the encoding of a key. Errors are of kind Invalid: no elements or
// more than MaxElements, an element that is empty or not UTF-8, more than MaxKey
// bytes.
func EncodeKey(key []string) (string, error) {
	const op = "read a key"
	if len(key) == 0 || len(key) > MaxElements {
		return "", crux.Errorf(op, crux.Invalid, "the key has %d elements: it needs 1 to %d", len(key), MaxElements)
	}
	n := 0
	for i, e := range key {
		if e == "" || !utf8.ValidString(e) {
			return "", crux.Errorf(op, crux.Invalid, "element %d of the key, %q, must be UTF-8 and not empty", i+1, e)
		}
		n += len(e) + 1
	}
	if n > MaxKey {
		return "", crux.Errorf(op, crux.Invalid, "the key takes %d bytes: %d are allowed", n, MaxKey)
	}
	b := make([]byte, 0, n)
	for _, e := range key {
		b = appendElement(b, e)
	}
	if len(b) > MaxKey {
		return "", crux.Errorf(op, crux.Invalid, "the key takes %d bytes, with its zero bytes doubled: %d are allowed", len(b), MaxKey)
	}
	return string(b), nil
}

func appendElement(b []byte, e string) []byte {
	for {
		i := strings.IndexByte(e, 0)
		if i < 0 {
			return append(append(b, e...), 0)
		}
		b = append(append(b, e[:i+1]...), 0xff)
		e = e[i+1:]
	}
}

// DecodeKey reads what EncodeKey makes, and nothing else: Invalid if it cannot.
func DecodeKey(s string) ([]string, error) {
	var key []string
	if len(s) <= MaxKey {
		for rest := s; len(rest) > 0; {
			e, after, ok := cutElement(rest)
			if !ok || len(key) == MaxElements {
				return nil, badKey(s)
			}
			key, rest = append(key, e), after
		}
	}
	if len(key) == 0 {
		return nil, badKey(s)
	}
	return key, nil
}

func badKey(s string) error {
	return crux.Errorf("read a key", crux.Invalid, "%d bytes are not the encoding of a key", len(s))
}

// cutElement takes the first element off an encoding.
func cutElement(s string) (e, rest string, ok bool) {
	escaped := false
	for i := 0; i < len(s); i++ {
		if s[i] != 0 {
			continue
		}
		if i+1 < len(s) && s[i+1] == 0xff {
			escaped = true
			i++
			continue
		}
		e, rest = s[:i], s[i+1:]
		if escaped {
			e = strings.ReplaceAll(e, "\x00\xff", "\x00")
		}
		return e, rest, e != "" && utf8.ValidString(e)
	}
	return "", "", false
}

// validKey says whether s is an encoding of a key. It allocates nothing, but for
// keys with zero bytes.
func validKey(s string) bool {
	if len(s) == 0 || len(s) > MaxKey {
		return false
	}
	n := 0
	for len(s) > 0 {
		_, rest, ok := cutElement(s)
		if n++; !ok || n > MaxElements {
			return false
		}
		s = rest
	}
	return true
}

// place is what a key's elements say about it.
type place struct {
	owner    crux.NodeID // zero: shared
	volatile bool
}

const ownedPrefix = ownedElement + "\x00"

// placeOf says whose an encoded key is. ok is false for keys that nobody may have:
// those below "node" that do not go on with a node's ID and something more.
func placeOf(key string) (p place, ok bool) {
	if !strings.HasPrefix(key, ownedPrefix) {
		return place{}, true
	}
	e, rest, ok := cutElement(key[len(ownedPrefix):])
	if !ok || rest == "" {
		return place{}, false
	}
	id, err := crux.ParseNodeID(e)
	if err != nil || id.IsZero() || id.String() != e {
		return place{}, false
	}
	if e, rest, _ = cutElement(rest); e == volatileElement {
		return place{id, true}, rest != ""
	}
	return place{id, false}, true
}

// namespace is the prefix of the encoded keys of a node.
func namespace(id crux.NodeID) string { return ownedPrefix + id.String() + "\x00" }
