package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"hash"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"fulcrum.example/crux"
)

// partBytes is how much is sent at once; smaller artifacts go in one piece.
const partBytes = 16 << 20

// maxRetries bounds how often minio-go tries a request again by itself.
const maxRetries = 3

// Config says how to reach a bucket.
type Config struct {
	// Endpoint is the server: http://HOST:PORT or https://HOST:PORT; without a
	// scheme https is meant.
	Endpoint     string
	Bucket       string
	Prefix       string
	Region       string // empty: the server is asked
	AccessKey    string
	SecretKey    string
	SessionToken string
	TLS          *tls.Config // nil: the system's roots
}

// String describes the settings without secrets.
func (c Config) String() string { return "s3://" + c.Bucket + "/" + c.Prefix + " at " + c.Endpoint }

// GoString keeps secrets out of %#v.
func (c Config) GoString() string { return c.String() }

// LogValue keeps secrets out of logs.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Store is an artifact store in a bucket.
type Store struct {
	cfg       Config
	client    *minio.Core
	transport *http.Transport
}

// Open checks the settings; it does not reach out: Check does. Errors are
// Invalid.
func Open(cfg Config) (*Store, error) {
	bad := func(format string, args ...any) (*Store, error) {
		return nil, crux.Errorf("open artifact store", crux.Invalid, format, args...)
	}
	cfg.Prefix = strings.Trim(cfg.Prefix, "/")
	switch {
	case cfg.Bucket == "":
		return bad("no bucket is named: want s3://BUCKET/PREFIX")
	case cfg.Endpoint == "":
		return bad("no endpoint for bucket %s: give the S3 server, as http://127.0.0.1:9000 or https://s3.amazonaws.com", cfg.Bucket)
	case cfg.AccessKey == "" || cfg.SecretKey == "":
		return bad("no credentials for bucket %s at %s: give the access key and the secret key", cfg.Bucket, cfg.Endpoint)
	}
	if !strings.Contains(cfg.Endpoint, "://") {
		cfg.Endpoint = "https://" + cfg.Endpoint
	}
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.User != nil {
		return bad("the endpoint of bucket %s is not http://HOST:PORT or https://HOST:PORT", cfg.Bucket)
	}
	transport := newTransport(cfg.TLS)
	client, err := minio.NewCore(u.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(cfg.AccessKey, cfg.SecretKey, cfg.SessionToken),
		Secure:       u.Scheme == "https",
		Transport:    transport,
		Region:       cfg.Region,
		BucketLookup: minio.BucketLookupPath,
		MaxRetries:   maxRetries,
	})
	if err != nil {
		return bad("endpoint %s: %w", cfg.Endpoint, err)
	}
	return &Store{cfg: cfg, client: client, transport: transport}, nil
}

func newTransport(conf *tls.Config) *http.Transport {
	if conf == nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       time.Minute,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		TLSClientConfig:       conf.Clone(),
		DisableCompression:    true,
	}
}

// String names the store for people.
func (s *Store) String() string { return s.cfg.String() }

// Close lets go of idle connections.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

func (s *Store) dir() string {
	if s.cfg.Prefix == "" {
		return "sha256/"
	}
	return s.cfg.Prefix + "/sha256/"
}

func (s *Store) name(sum crux.Checksum) string { return s.dir() + sum.String() }

// Check lists one object, which needs an endpoint that answers, credentials
// that it knows, and a bucket that they may read.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range s.client.ListObjectsIter(ctx, s.cfg.Bucket, minio.ListObjectsOptions{Prefix: s.dir(), MaxKeys: 1}) {
		return s.explain("check artifact store", o.Err)
	}
	return s.explain("check artifact store", ctx.Err()) // an iteration that was cut off is an empty one
}

// Put hashes what it sends and withholds the end until the sum matched, so that
// the server never completes a wrong object.
func (s *Store) Put(ctx context.Context, sum crux.Checksum, size int64, r io.Reader) error {
	const op = "store artifact"
	var body io.Reader = &verified{r: r, hash: sha256.New(), sum: sum, left: size}
	if size <= partBytes {
		b := make([]byte, size)
		if _, err := io.ReadFull(body, b); err != nil {
			return s.explain(op, err)
		}
		body = bytes.NewReader(b) // can be sent again
	}
	if size == 0 {
		if _, err := (&verified{r: r, hash: sha256.New(), sum: sum}).Read(nil); err != io.EOF {
			return s.explain(op, err)
		}
	}
	_, err := s.client.Client.PutObject(ctx, s.cfg.Bucket, s.name(sum), body, size,
		minio.PutObjectOptions{ContentType: "application/octet-stream", PartSize: partBytes})
	return s.explain(op, err)
}

// Get reads an artifact, unverified.
func (s *Store) Get(ctx context.Context, sum crux.Checksum) (io.ReadCloser, int64, error) {
	const op = "read artifact store"
	body, info, _, err := s.client.GetObject(ctx, s.cfg.Bucket, s.name(sum), minio.GetObjectOptions{})
	if err != nil {
		return nil, 0, s.explain(op, err)
	}
	return &reader{s: s, ReadCloser: body}, info.Size, nil
}

// reader explains errors that come midway.
type reader struct {
	io.ReadCloser
	s *Store
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if err != nil && err != io.EOF {
		err = r.s.explain("read artifact store", err)
	}
	return n, err
}

// Stat gives the size of an artifact.
func (s *Store) Stat(ctx context.Context, sum crux.Checksum) (int64, error) {
	info, err := s.client.StatObject(ctx, s.cfg.Bucket, s.name(sum), minio.StatObjectOptions{})
	return info.Size, s.explain("look up artifact", err)
}

// List calls visit for each artifact until visit returns an error.
func (s *Store) List(ctx context.Context, visit func(sum crux.Checksum, size int64) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range s.client.ListObjectsIter(ctx, s.cfg.Bucket, minio.ListObjectsOptions{Prefix: s.dir()}) {
		if o.Err != nil {
			return s.explain("list artifact store", o.Err)
		}
		sum, err := crux.ParseChecksum(strings.TrimPrefix(o.Key, s.dir()))
		if err != nil {
			continue // another's object
		}
		if err := visit(sum, o.Size); err != nil {
			return err
		}
	}
	return s.explain("list artifact store", ctx.Err())
}

// verified passes on exactly left bytes, and the last of them only if all of
// them hash to sum.
type verified struct {
	r    io.Reader
	hash hash.Hash
	sum  crux.Checksum
	left int64
}

func (v *verified) Read(b []byte) (int, error) {
	if v.left == 0 {
		return 0, v.check()
	}
	n, err := v.r.Read(b[:min(int64(len(b)), v.left)])
	v.hash.Write(b[:n])
	v.left -= int64(n)
	switch {
	case v.left == 0:
		if bad := v.check(); bad != io.EOF {
			return 0, bad
		}
		return n, nil
	case err == io.EOF:
		return n, crux.Errorf("", crux.Corrupt, "%s ends %d bytes too early", v.sum, v.left)
	}
	return n, err
}

// check returns io.EOF when everything matched.
func (v *verified) check() error {
	var got crux.Checksum
	if v.hash.Sum(got[:0]); got != v.sum {
		return crux.Errorf("", crux.Corrupt, "the bytes do not match: want %s, got %s", v.sum, got)
	}
	return io.EOF
}
