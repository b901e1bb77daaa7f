package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"fulcrum.example/crux"
	"fulcrum.example/pastiche/s3"
	"fulcrum.example/pastiche/s3/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, cfg s3.Config) *s3.Store {
	t.Helper()
	s, err := s3.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// pattern makes n bytes that repeat nowhere near.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func TestArtifactsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	s3test.Each(t, func(t *testing.T, cfg s3.Config) {
		cfg.Prefix = "/deep/er/"
		s := open(t, cfg)
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := make(map[crux.Checksum]int64)
		for _, n := range []int{0, 1, 1000, 16 << 20, 33<<20 + 7} { // the last in several parts
			b := pattern(n)
			sum := crux.Checksum(sha256.Sum256(b))
			want[sum] = int64(n)
			for range 2 { // a second time is allowed
				if err := s.Put(t.Context(), sum, int64(n), bytes.NewReader(b)); err != nil {
					t.Fatalf("put %d bytes: %v", n, err)
				}
			}
			r, size, err := s.Get(t.Context(), sum)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			r.Close()
			if err != nil || size != int64(n) || !bytes.Equal(got, b) {
				t.Fatalf("%d bytes came back as %d (%d), %v", n, len(got), size, err)
			}
			if size, err := s.Stat(t.Context(), sum); err != nil || size != int64(n) {
				t.Fatalf("stat %d: %d, %v", n, size, err)
			}
		}
		listed := make(map[crux.Checksum]int64)
		err := s.List(t.Context(), func(sum crux.Checksum, size int64) error { listed[sum] = size; return nil })
		if err != nil || fmt.Sprint(listed) != fmt.Sprint(want) {
			t.Fatalf("listed %v, %v", listed, err)
		}
		stop := errors.New("enough")
		if err := s.List(t.Context(), func(crux.Checksum, int64) error { return stop }); err != stop {
			t.Fatalf("list ended with %v", err)
		}
	})
}

func TestWrongBytesNeverBecomeAnObject(t *testing.T) {
	t.Parallel()
	s3test.Each(t, func(t *testing.T, cfg s3.Config) {
		s := open(t, cfg)
		for _, n := range []int{1000, 33 << 20} {
			b := pattern(n)
			sum := crux.Checksum(sha256.Sum256(b))
			b[n-1] ^= 1
			for name, r := range map[string]io.Reader{"flipped": bytes.NewReader(b), "short": bytes.NewReader(b[:n-1])} {
				if err := s.Put(t.Context(), sum, int64(n), r); err == nil || crux.KindOf(err) != crux.Corrupt {
					t.Errorf("%s, %d bytes: %v", name, n, err)
				}
			}
			if size, err := s.Stat(t.Context(), sum); crux.KindOf(err) != crux.NotFound || err == nil {
				t.Errorf("there is an object of %d bytes (%v)", size, err)
			}
		}
	})
}

func TestTroubleIsOneLineWithARemedy(t *testing.T) {
	t.Parallel()
	s3test.Each(t, func(t *testing.T, cfg s3.Config) {
		noBucket, wrongSecret, wrongKey := cfg, cfg, cfg
		noBucket.Bucket = "missing-bucket"
		wrongSecret.SecretKey = "something-else"
		wrongKey.AccessKey = "somebody-else"
		for name, c := range map[string]struct {
			cfg  s3.Config
			kind crux.Kind
			says []string
		}{
			"no bucket":    {noBucket, crux.NotFound, []string{"missing-bucket", cfg.Endpoint, "make it"}},
			"wrong secret": {wrongSecret, crux.Unknown, []string{cfg.Bucket, cfg.Endpoint, "check the access key"}},
			"wrong key":    {wrongKey, crux.Unknown, []string{cfg.Bucket, cfg.Endpoint, "check the access key"}},
		} {
			s := open(t, c.cfg)
			b := []byte("hello")
			sum := crux.Checksum(sha256.Sum256(b))
			for op, err := range map[string]error{
				"check": s.Check(t.Context()),
				"put":   s.Put(t.Context(), sum, int64(len(b)), bytes.NewReader(b)),
			} {
				check(t, name+" "+op, err, c.kind, c.says, c.cfg.SecretKey)
			}
			if _, _, err := s.Get(t.Context(), sum); err == nil || crux.KindOf(err) != c.kind {
				t.Errorf("%s get: %v of kind %v", name, err, crux.KindOf(err))
			}
		}
		_, _, err := open(t, cfg).Get(t.Context(), crux.Checksum{1})
		check(t, "no artifact", err, crux.NotFound, []string{cfg.Bucket, cfg.Endpoint, "publish it first"}, cfg.SecretKey)
	})
}

func check(t *testing.T, name string, err error, kind crux.Kind, says []string, secret string) {
	t.Helper()
	if err == nil || crux.KindOf(err) != kind {
		t.Errorf("%s: %v of kind %v, want %v", name, err, crux.KindOf(err), kind)
		return
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%s: %q does not say %q", name, err, s)
		}
	}
	if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), secret) {
		t.Errorf("%s: more than a line, or a secret: %q", name, err)
	}
}

func TestUnreachableAndUntrustedServers(t *testing.T) {
	t.Parallel()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	gone := plain.URL
	plain.Close()
	clear := httptest.NewServer(http.NotFoundHandler())
	defer clear.Close()
	for name, c := range map[string]struct{ endpoint, says string }{
		"refused":       {gone, "cannot be reached: check the endpoint"},
		"not trusted":   {untrusted.URL, "is not trusted"},
		"no TLS there":  {strings.Replace(clear.URL, "http://", "https://", 1), "write the endpoint as http://"},
		"without https": {strings.TrimPrefix(untrusted.URL, "https://"), "is not trusted"},
	} {
		s := open(t, s3.Config{Endpoint: c.endpoint, Bucket: "artifacts", Region: "us-east-1", AccessKey: "a", SecretKey: "very-secret"})
		check(t, name, s.Check(t.Context()), crux.Unavailable, []string{"artifacts", strings.TrimPrefix(c.endpoint, "https://"), c.says}, "very-secret")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := open(t, s3.Config{Endpoint: gone, Bucket: "b", Region: "us-east-1", AccessKey: "a", SecretKey: "s"})
	if err := s.Check(ctx); crux.KindOf(err) != crux.Canceled || err == nil {
		t.Errorf("canceled: %v", err)
	}
}

func TestSettingsAreCheckedAndSecretsNotShown(t *testing.T) {
	t.Parallel()
	good := s3.Config{Endpoint: "127.0.0.1:9000", Bucket: "b", AccessKey: "a", SecretKey: "very-secret"}
	for name, change := range map[string]func(*s3.Config){
		"no bucket":      func(c *s3.Config) { c.Bucket = "" },
		"no endpoint":    func(c *s3.Config) { c.Endpoint = "" },
		"no credentials": func(c *s3.Config) { c.AccessKey = "" },
		"other scheme":   func(c *s3.Config) { c.Endpoint = "ftp://h" },
		"with a path":    func(c *s3.Config) { c.Endpoint = "http://h/path" },
		"with a user":    func(c *s3.Config) { c.Endpoint = "http://u:p@h" },
	} {
		cfg := good
		change(&cfg)
		if _, err := s3.Open(cfg); err == nil || crux.KindOf(err) != crux.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all := fmt.Sprintf("%v %+v %#v %s", good, good, good, open(t, good)); strings.Contains(all, "very-secret") {
		t.Errorf("the secret shows: %s", all)
	}
}
