package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"fulcrum.example/crux"
	"fulcrum.example/pastiche/origin"
)

// PutDoc keeps a document, and returns once it is on disk; then older versions
// of it are not needed, and go.
func (s *Store) PutDoc(_ context.Context, d crux.Doc) error {
	op := "store document " + d.Name
	text, err := origin.Encode(&d)
	if err != nil {
		return err
	}
	name := origin.Name(&d)
	if err := s.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return s.explain(op, err)
	}
	tmp := incoming + "/" + rand.Text()
	f, err := s.root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return s.explain(op, err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o444), f.Sync(), f.Close()); err == nil {
		err = s.root.Rename(tmp, name)
	}
	if err != nil {
		return s.explain(op, errors.Join(err, s.root.Remove(tmp)))
	}
	folder, err := s.root.Open(path.Dir(name))
	if err == nil {
		err = errors.Join(folder.Sync(), folder.Close())
	}
	if err == nil {
		err = s.removeOlder(&d)
	}
	return s.explain(op, err)
}

func (s *Store) removeOlder(d *crux.Doc) error {
	names, err := s.docNames(d.Kind)
	for _, name := range names {
		if !origin.Replaces(d, name) {
			continue
		}
		if rerr := s.root.Remove(name); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// docNames lists the objects in the folder of a kind.
func (s *Store) docNames(kind crux.DocKind) (names []string, err error) {
	files, err := fs.ReadDir(s.root.FS(), origin.Dir(kind))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, f := range files {
		names = append(names, origin.Dir(kind)+"/"+f.Name())
	}
	return names, nil
}

// ListDocs gives all documents, unverified, in all versions that there are.
// What holds none is passed over, and named in the error beside what was read.
func (s *Store) ListDocs(ctx context.Context) (docs []crux.Doc, err error) {
	const op = "list documents"
	var bad []error
	for _, kind := range origin.Kinds() {
		names, err := s.docNames(kind)
		if err != nil {
			return docs, s.explain(op, err)
		}
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return docs, crux.Wrap(op, err)
			}
			d, err := s.readDoc(name)
			switch {
			case err == nil:
				docs = append(docs, d)
			case crux.KindOf(err) != crux.NotFound: // a later version took its place just now
				bad = append(bad, err)
			}
		}
	}
	return docs, errors.Join(bad...)
}

func (s *Store) readDoc(name string) (crux.Doc, error) {
	f, err := s.root.Open(name)
	if err != nil {
		return crux.Doc{}, s.explain("read document", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, origin.MaxDoc+1))
	if err != nil {
		return crux.Doc{}, s.explain("read document", err)
	}
	return origin.Decode(name, text)
}
