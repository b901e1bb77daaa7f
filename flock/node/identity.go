package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/crux/disk"
)

// Files in a node's data folder.
const (
	keyFile         = "node.key"
	incarnationFile = "incarnation"
	nodeKeyPrefix   = "fulcrum-node-key-1:"
	maxSmallFile    = 64 << 10
)

// Identity is who a node is in this run of its process.
type Identity struct {
	Key         ed25519.PrivateKey
	Incarnation uint64 // greater than that of any earlier run
}

// LoadKey reads the node key from the data folder, or makes one there (and the
// folder) on a node's first start. It refuses a key that others can read, and a
// damaged one: a new key would make another node of this one.
func LoadKey(dir string) (ed25519.PrivateKey, error) {
	const op = "load node key"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, crux.Errorf(op, crux.Invalid, "cannot make the data folder: %w", err)
	}
	path := filepath.Join(dir, keyFile)
	text, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(dir)
	}
	if err != nil {
		return nil, crux.Wrap(op, err)
	}
	b64, ok := strings.CutPrefix(strings.TrimSpace(string(text)), nodeKeyPrefix)
	seed, err := base64.StdEncoding.Strict().DecodeString(b64)
	if !ok || err != nil || len(seed) != ed25519.SeedSize {
		return nil, crux.Errorf(op, crux.Corrupt, "%s does not hold a node key; restore it, or move it away to start as a new node", path)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func makeKey(dir string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, crux.Wrap("make node key", err)
	}
	text := nodeKeyPrefix + base64.StdEncoding.EncodeToString(key.Seed()) + "\n"
	if err := disk.Create(dir, keyFile, []byte(text)); err != nil {
		if errors.Is(err, fs.ErrExist) { // another process made it meanwhile
			return LoadKey(dir)
		}
		return nil, crux.Errorf("make node key", crux.Invalid, "cannot keep it: %w", err)
	}
	return key, nil
}

// LoadIdentity is LoadKey and the incarnation of this run, which is on disk
// before it is returned. A node whose clock was set back still counts up.
func LoadIdentity(dir string) (Identity, error) {
	key, err := LoadKey(dir)
	if err != nil {
		return Identity{}, err
	}
	const op = "load incarnation"
	path := filepath.Join(dir, incarnationFile)
	inc := uint64(max(0, time.Now().UnixMilli()))
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return Identity{}, crux.Errorf(op, crux.Invalid, "%w", err)
	default:
		last, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || last == 1<<64-1 {
			return Identity{}, crux.Errorf(op, crux.Corrupt, "%s does not hold the number of this node's last run; remove the data folder %s to start as a new node", path, dir)
		}
		inc = max(last+1, inc)
	}
	if err := disk.Replace(dir, incarnationFile, []byte(strconv.FormatUint(inc, 10)+"\n")); err != nil {
		return Identity{}, crux.Errorf(op, crux.Invalid, "cannot keep it: %w", err)
	}
	return Identity{Key: key, Incarnation: inc}, nil
}

// LoadSecret reads a secondary key from its file, which nobody else may read.
func LoadSecret(path string) (bloc.Secondary, error) {
	text, err := readPrivate(path)
	if err != nil {
		return bloc.Secondary{}, crux.Wrap("load secondary key", err)
	}
	s, err := bloc.ParseSecondary(text)
	return s, crux.Wrap(path, err)
}

// readPrivate reads a small file that only its owner may read. The check is on
// the open file, so that nothing can be put in its place in between.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, crux.Errorf("", crux.Invalid, "%w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, crux.Errorf("", crux.Invalid, "%w", err)
	}
	if st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
		return nil, crux.Errorf("", crux.Denied, "%s can be read or changed by others (mode %04o); run: chmod 600 %s", path, st.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSmallFile+1))
	if err != nil {
		return nil, crux.Errorf("", crux.Invalid, "%w", err)
	}
	if len(b) > maxSmallFile {
		return nil, crux.Errorf("", crux.Invalid, "%s is too long for a key", path)
	}
	return b, nil
}
