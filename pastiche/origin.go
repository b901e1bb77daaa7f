package pastiche

import (
	"context"
	"io"
	"strings"

	"fulcrum.example/crux"
	"fulcrum.example/pastiche/dir"
	"fulcrum.example/pastiche/s3"
)

// Origin is the artifact store: where published artifacts stay, whatever
// happens to the nodes. Its methods may be called from any goroutine. What Get
// gives was not verified: the reader does that.
type Origin interface {
	// Check says whether the store can be reached and used, in one clear line.
	Check(ctx context.Context) error
	// Put stores size bytes under sum. Bytes that do not match sum are refused
	// with Corrupt and leave nothing behind. Putting what is there is allowed.
	Put(ctx context.Context, sum crux.Checksum, size int64, r io.Reader) error
	// Get reads an artifact and says its size; the caller closes it. NotFound:
	// the store has none of that sum.
	Get(ctx context.Context, sum crux.Checksum) (io.ReadCloser, int64, error)
	// Stat gives the size of an artifact, or NotFound.
	Stat(ctx context.Context, sum crux.Checksum) (int64, error)
	// List calls visit for each artifact until visit returns an error, which
	// List then returns.
	List(ctx context.Context, visit func(sum crux.Checksum, size int64) error) error
	// String names the store for people, without secrets.
	String() string
	// Close lets go of connections.
	Close() error
}

// S3 says how to reach an S3 server; bucket and prefix come from the store's
// URL.
type S3 = s3.Config

// ParseStore reads where artifacts are kept: "s3://BUCKET/PREFIX", reached as
// the settings say, or "dir:PATH". It does not reach out: Check does.
func ParseStore(url string, settings S3) (Origin, error) {
	switch {
	case strings.HasPrefix(url, "s3://"):
		cfg := settings
		cfg.Bucket, cfg.Prefix, _ = strings.Cut(strings.TrimPrefix(url, "s3://"), "/")
		return s3.Open(cfg)
	case strings.HasPrefix(url, "dir:") && len(url) > len("dir:"):
		return dir.Open(strings.TrimPrefix(url, "dir:"))
	}
	return nil, crux.Errorf("parse store", crux.Invalid,
		"%q is not an artifact store: want s3://BUCKET/PREFIX or dir:PATH", url)
}
