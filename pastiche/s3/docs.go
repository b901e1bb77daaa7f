package s3

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/minio/minio-go/v7"

	"fulcrum.example/crux"
	"fulcrum.example/pastiche/origin"
)

// object is the key of a name below the store's prefix.
func (s *Store) object(name string) string {
	if s.cfg.Prefix == "" {
		return name
	}
	return s.cfg.Prefix + "/" + name
}

// PutDoc keeps a document as the object PREFIX/docs/KIND/HASH-VERSION.json;
// then older versions of it are not needed, and go.
func (s *Store) PutDoc(ctx context.Context, d crux.Doc) error {
	op := "store document " + d.Name
	text, err := origin.Encode(&d)
	if err != nil {
		return err
	}
	_, err = s.client.Client.PutObject(ctx, s.cfg.Bucket, s.object(origin.Name(&d)), bytes.NewReader(text), int64(len(text)),
		minio.PutObjectOptions{ContentType: "application/json"})
	if err != nil {
		return s.explain(op, err)
	}
	names, err := s.docNames(ctx, d.Kind)
	if err != nil {
		return s.explain(op, err)
	}
	for _, name := range names {
		if origin.Replaces(&d, name) {
			err = errors.Join(err, s.client.RemoveObject(ctx, s.cfg.Bucket, s.object(name), minio.RemoveObjectOptions{}))
		}
	}
	return s.explain(op, err)
}

// docNames lists the objects of a kind of documents, without the prefix.
func (s *Store) docNames(ctx context.Context, kind crux.DocKind) (names []string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	prefix := s.object("")
	for o := range s.client.ListObjectsIter(ctx, s.cfg.Bucket, minio.ListObjectsOptions{Prefix: s.object(origin.Dir(kind) + "/")}) {
		if o.Err != nil {
			return nil, o.Err
		}
		names = append(names, o.Key[len(prefix):])
	}
	return names, ctx.Err() // an iteration that was cut off is an empty one
}

// ListDocs gives all documents, unverified, in all versions that there are.
// What holds none is passed over, and named in the error beside what was read.
func (s *Store) ListDocs(ctx context.Context) (docs []crux.Doc, err error) {
	var bad []error
	for _, kind := range origin.Kinds() {
		names, err := s.docNames(ctx, kind)
		if err != nil {
			return docs, s.explain("list documents", err)
		}
		for _, name := range names {
			d, err := s.readDoc(ctx, name)
			switch {
			case err == nil:
				docs = append(docs, d)
			case crux.KindOf(err) == crux.Corrupt:
				bad = append(bad, err)
			case crux.KindOf(err) != crux.NotFound: // a later version took its place just now
				return docs, err
			}
		}
	}
	return docs, errors.Join(bad...)
}

func (s *Store) readDoc(ctx context.Context, name string) (crux.Doc, error) {
	body, _, _, err := s.client.GetObject(ctx, s.cfg.Bucket, s.object(name), minio.GetObjectOptions{})
	if err != nil {
		return crux.Doc{}, s.explain("read document", err)
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, origin.MaxDoc+1))
	if err != nil {
		return crux.Doc{}, s.explain("read document", err)
	}
	return origin.Decode(name, text)
}
