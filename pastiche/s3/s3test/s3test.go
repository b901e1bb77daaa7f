// Package s3test runs real S3 servers for tests: versitygw and MinIO, each
// where its binary is on the PATH or in GOPATH/bin. Nothing else may import it.
package s3test

import (
	"context"
	"fmt"
	"go/build"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"fulcrum.example/pastiche/s3"
)

// Bucket is the bucket that every server has.
const Bucket = "artifacts"

// Each runs test against every S3 server that is installed, and skips with one
// sentence where one is not.
func Each(t *testing.T, test func(t *testing.T, cfg s3.Config)) {
	for name, command := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bin := find(name)
			if bin == "" {
				t.Skipf("%s is not installed: its tests need the binary on the PATH or in GOPATH/bin", name)
			}
			test(t, start(t, bin, command))
		})
	}
}

// command makes the command that serves dir at addr.
type command func(bin, addr, dir string, cfg s3.Config) *exec.Cmd

var servers = map[string]command{
	"versitygw": func(bin, addr, dir string, cfg s3.Config) *exec.Cmd {
		cmd := exec.Command(bin, "--port", addr, "posix", dir)
		cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+cfg.AccessKey, "ROOT_SECRET_KEY="+cfg.SecretKey)
		return cmd
	},
	"minio": func(bin, addr, dir string, cfg s3.Config) *exec.Cmd {
		cmd := exec.Command(bin, "server", "--quiet", "--address", addr, dir)
		cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+cfg.AccessKey, "MINIO_ROOT_PASSWORD="+cfg.SecretKey,
			"MINIO_BROWSER=off", "MINIO_UPDATE=off")
		return cmd
	},
}

func find(name string) string {
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	p := filepath.Join(build.Default.GOPATH, "bin", name)
	if st, err := os.Stat(p); err == nil && st.Mode()&0o111 != 0 {
		return p
	}
	return ""
}

// start runs a server on a free port with an empty bucket; the test's end ends
// it.
func start(t *testing.T, bin string, command command) s3.Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cfg := s3.Config{Endpoint: "http://" + addr, Bucket: Bucket, Region: "us-east-1", AccessKey: "test-access", SecretKey: "test-secret-key"}
	dir := t.TempDir()
	if err := syscall.Setxattr(dir, "user.fulcrum-test", []byte("1"), 0); err != nil {
		t.Skipf("the S3 server needs extended attributes, which %s has not: set TMPDIR to a folder that has (%v)", dir, err)
	}
	cmd := command(bin, addr, dir, cfg)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(t.TempDir(), "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if err := makeBucket(cfg, addr); err != nil {
		out, _ := os.ReadFile(log.Name())
		t.Fatalf("%s: %v\n%s", bin, err, out)
	}
	return cfg
}

// makeBucket tries until the server answers.
func makeBucket(cfg s3.Config, addr string) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client, err := minio.New(addr, &minio.Options{
		Creds:     credentials.NewStaticV4(cfg.AccessKey, cfg.SecretKey, ""),
		Transport: transport, Region: cfg.Region, BucketLookup: minio.BucketLookupPath, MaxRetries: 1,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		err := client.MakeBucket(ctx, Bucket, minio.MakeBucketOptions{})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
