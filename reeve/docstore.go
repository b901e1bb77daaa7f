package reeve

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"fulcrum.example/crux"
)

// docStore keeps documents on disk, one synced file each: they are few and
// change seldom, and a file that a disk has damaged takes no other with it.
type docStore struct {
	root *os.Root
	dir  string

	writing sync.Mutex // held while a file is written: readers need not wait for the disk

	mu      sync.Mutex
	docs    map[crux.DocKey]crux.Doc
	changed chan struct{} // closed and replaced at each change
}

const docSuffix = ".json"

// openDocs reads the documents in dir that check accepts. A file that does not
// hold a document is set aside, and named in the log; one whose signatures do
// not count by the rules of today is left where it is; the others are not
// affected.
func openDocs(dir string, check func(*crux.Doc) error, log *slog.Logger) (*docStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, crux.Errorf("open documents", crux.Denied, "%w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, crux.Errorf("open documents", crux.Denied, "%w", err)
	}
	s := &docStore{root: root, dir: dir, docs: map[crux.DocKey]crux.Doc{}, changed: make(chan struct{})}
	if err := s.loadAll(check, log); err != nil {
		_ = root.Close() // nothing was written; the first error is the one to tell
		return nil, crux.Wrap("open documents", err)
	}
	return s, nil
}

func (s *docStore) loadAll(check func(*crux.Doc) error, log *slog.Logger) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, ".new-"):
			_ = s.root.Remove(name) // of a write that a crash cut short
		case strings.HasSuffix(name, docSuffix):
			if err := s.load(name, check, log); err != nil {
				return err
			}
		}
	}
	return nil
}

// load reads one file. Only that the damaged could not be set aside is an error.
func (s *docStore) load(name string, check func(*crux.Doc) error, log *slog.Logger) error {
	d, err := s.read(name)
	if err == nil {
		err = check(&d)
	}
	path := filepath.Join(s.dir, name)
	switch {
	case err == nil:
		s.docs[d.DocKey] = d
	case crux.KindOf(err) == crux.Denied:
		log.Error("a document on disk does not count: those who may publish have not signed it", "file", path, "error", err)
	default:
		log.Error("a document on disk is damaged; it was set aside and will come again from other nodes", "file", path, "error", err)
		if err := s.root.Rename(name, name+".damaged"); err != nil {
			return err
		}
	}
	return nil
}

func (s *docStore) read(name string) (d crux.Doc, err error) {
	text, err := s.root.ReadFile(name)
	if err != nil {
		return d, crux.Errorf("read document", crux.Internal, "%w", err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return d, crux.Errorf("read document", crux.Corrupt, "%w", err)
	}
	if docFile(d.DocKey) != name {
		return d, crux.Errorf("read document", crux.Corrupt, "the file holds another document: %s %s", d.Kind, d.Name)
	}
	return d, nil
}

// close gives back the folder; a write under way ends first.
func (s *docStore) close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.root.Close()
}

func docFile(k crux.DocKey) string {
	sum := sha256.Sum256([]byte(string(k.Kind) + "\x00" + k.Name))
	return hex.EncodeToString(sum[:16]) + docSuffix
}

// changes is closed at the next change.
func (s *docStore) changes() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *docStore) get(k crux.DocKey) (crux.Doc, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.docs[k]
	return d, ok
}

// list returns all documents, sorted by kind and name.
func (s *docStore) list() []crux.Doc {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]crux.Doc, 0, len(s.docs))
	for _, d := range s.docs {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b crux.Doc) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// put keeps a document that was verified, and returns once it is on disk. The
// very same one again is no error and no change. Errors: Conflict for a lower
// version, or another document of the same version.
func (s *docStore) put(d crux.Doc) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if have, ok := s.get(d.DocKey); ok {
		switch {
		case have.Version > d.Version:
			return crux.Errorf("store "+d.Name, crux.Conflict, "version %d is older than version %d, which is here", d.Version, have.Version)
		case have.Version == d.Version && string(have.Body) != string(d.Body):
			return crux.Errorf("store "+d.Name, crux.Conflict, "another document has version %d already: take a higher version", d.Version)
		case have.Version == d.Version:
			return nil
		}
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return crux.Errorf("store "+d.Name, crux.Internal, "%w", err)
	}
	if err := s.write(docFile(d.DocKey), text); err != nil {
		return crux.Errorf("store "+d.Name, crux.Unavailable, "in %s: %w", s.dir, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.docs[d.DocKey] = d
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// write replaces a file so that a crash leaves the old one or the new, and
// returns once the new one is on disk.
func (s *docStore) write(name string, text []byte) error {
	temp := ".new-" + name
	f, err := s.root.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = s.root.Rename(temp, name)
	}
	if err != nil {
		_ = s.root.Remove(temp) // the first error is the one to tell
		return err
	}
	dir, err := s.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
