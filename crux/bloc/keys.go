package bloc

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"strings"

	"fulcrum.example/crux"
)

// Text forms of keys: one line, a prefix that names the sort of key, a colon,
// and the bytes in standard base64. Lines that begin with # and empty lines
// around it are ignored.
const (
	publicPrefix    = "ed25519"
	blocPrefix      = "fulcrum-bloc-key-1"
	publisherPrefix = "fulcrum-publisher-key-1"
	secondaryPrefix = "fulcrum-key-1"
)

// maxKeyText bounds a key file.
const maxKeyText = 64 << 10

// PublicKey is an Ed25519 public key with a text form, "ed25519:BASE64".
type PublicKey ed25519.PublicKey

// ParsePublicKey reads what String prints.
func ParsePublicKey(s string) (PublicKey, error) {
	b, ok := strings.CutPrefix(s, publicPrefix+":")
	if ok {
		if k, err := base64.StdEncoding.Strict().DecodeString(b); err == nil && len(k) == ed25519.PublicKeySize {
			return PublicKey(k), nil
		}
	}
	return nil, crux.Errorf("parse public key", crux.Invalid, "%.80q is not a public key: want %s:BASE64, as `fulcrum node-key` prints it", s, publicPrefix)
}

// String prints the key in its text form.
func (k PublicKey) String() string {
	return publicPrefix + ":" + base64.StdEncoding.EncodeToString(k)
}

// MarshalText is String; an absent key is empty.
func (k PublicKey) MarshalText() ([]byte, error) {
	if len(k) == 0 {
		return []byte{}, nil
	}
	return []byte(k.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (k *PublicKey) UnmarshalText(b []byte) (err error) {
	*k = nil
	if len(b) > 0 {
		*k, err = ParsePublicKey(string(b))
	}
	return err
}

// Signature is an Ed25519 signature; its text form is base64.
type Signature []byte

// MarshalText prints base64; an absent signature is empty.
func (s Signature) MarshalText() ([]byte, error) {
	return []byte(base64.StdEncoding.EncodeToString(s)), nil
}

// UnmarshalText reads what MarshalText wrote.
func (s *Signature) UnmarshalText(b []byte) error {
	*s = nil
	if len(b) == 0 {
		return nil
	}
	v, err := base64.StdEncoding.Strict().DecodeString(string(b))
	if err != nil || len(v) != ed25519.SignatureSize {
		return crux.Errorf("parse signature", crux.Invalid, "%.100q is not an Ed25519 signature in base64", b)
	}
	*s = v
	return nil
}

// FormatBlocKey prints the bloc's private key, which signs bloc files and is
// kept offline.
func FormatBlocKey(k ed25519.PrivateKey) string { return format(blocPrefix, k.Seed()) }

// ParseBlocKey reads what FormatBlocKey printed.
func ParseBlocKey(text []byte) (ed25519.PrivateKey, error) {
	return parsePrivate(text, blocPrefix, "bloc key")
}

// FormatPublisherKey prints a publisher's or operator's private key, which
// signs artifacts and intents.
func FormatPublisherKey(k ed25519.PrivateKey) string { return format(publisherPrefix, k.Seed()) }

// ParsePublisherKey reads what FormatPublisherKey printed.
func ParsePublisherKey(text []byte) (ed25519.PrivateKey, error) {
	return parsePrivate(text, publisherPrefix, "publisher key")
}

// Secondary is the bloc's shared secret: it admits a node to talk, never to be
// a member. It prints as its ID, so that it cannot reach a log by mistake.
type Secondary [32]byte

// NewSecondary draws a secondary key from rand, a cryptographic source.
func NewSecondary(rand io.Reader) (Secondary, error) {
	var s Secondary
	_, err := io.ReadFull(rand, s[:])
	return s, crux.Wrap("make secondary key", err)
}

// ParseSecondary reads the text of a key file, "fulcrum-key-1:BASE64".
func ParseSecondary(text []byte) (Secondary, error) {
	b, err := parse(text, secondaryPrefix, "secondary key", len(Secondary{}))
	if err != nil {
		return Secondary{}, err
	}
	return Secondary(b), nil
}

// Format prints the secret itself, as a key file holds it.
func (s Secondary) Format() string { return format(secondaryPrefix, s[:]) }

// ID names the key without giving anything of it away: 8 hex digits, for
// people who compare two nodes' keys.
func (s Secondary) ID() string {
	h := sha256.Sum256(append([]byte("fulcrum secondary key id\x00"), s[:]...))
	return hex.EncodeToString(h[:4])
}

// IsZero says whether there is no key.
func (s Secondary) IsZero() bool { return s == Secondary{} }

// String gives the ID, not the secret.
func (s Secondary) String() string { return "secondary key " + s.ID() }

// GoString is String.
func (s Secondary) GoString() string { return s.String() }

// MarshalText is String: a secret is written by Format and by nothing else.
func (s Secondary) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func format(prefix string, b []byte) string {
	return prefix + ":" + base64.StdEncoding.EncodeToString(b)
}

func parsePrivate(text []byte, prefix, what string) (ed25519.PrivateKey, error) {
	seed, err := parse(text, prefix, what, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// parse finds the one key line of text. Its errors never repeat the text: it
// may hold a secret of another sort.
func parse(text []byte, prefix, what string, size int) ([]byte, error) {
	bad := func(why string) ([]byte, error) {
		return nil, crux.Errorf("read "+what, crux.Invalid, "%s; want one line %s:BASE64", why, prefix)
	}
	if len(text) > maxKeyText {
		return bad("the text is too long for a key")
	}
	var line []byte
	for l := range bytes.Lines(text) {
		l = bytes.TrimSpace(l)
		if len(l) == 0 || l[0] == '#' {
			continue
		}
		if line != nil {
			return bad("there is more than one line")
		}
		line = l
	}
	if line == nil {
		return bad("there is no key in it")
	}
	got, val, ok := bytes.Cut(line, []byte(":"))
	if !ok || string(got) != prefix {
		if name, known := sorts[string(got)]; ok && known {
			return bad("this is " + name)
		}
		return bad("the line does not begin with " + prefix + ":")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(string(val))
	if err != nil || len(b) != size {
		return bad("the key is damaged")
	}
	if bytes.Equal(b, make([]byte, size)) {
		return bad("the key is all zeros")
	}
	return b, nil
}

// sorts tells people which key they took for another.
var sorts = map[string]string{
	publicPrefix:    "a public key",
	blocPrefix:      "a bloc key",
	publisherPrefix: "a publisher key",
	secondaryPrefix: "a secondary key",
}
