package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"fulcrum.example/bench/bed"
	"fulcrum.example/bench/report"
	"fulcrum.example/crux"
	"fulcrum.example/pastiche"
	"fulcrum.example/pastiche/dir"
	"fulcrum.example/pastiche/store"
)

// linkRate is a link of 1 Gbit/s, in bytes a second.
const linkRate = 125e6

const eachReads = "each node reads the store by itself"

var artifact = bench{
	name: "artifact", title: "Artifacts", budget: 30 * time.Second, round: artifactRound,
	about: "One artifact that only the artifact store (a folder) has, wanted by all nodes at once: until all have it, hashed and synced. Ours: pastiche over " +
		"real node ports (gRPC, mutual TLS). The peer: each node reads the store by itself, into the same kind of cache (hashed, synced). Once with the " +
		"folder as it is, where a copy costs nothing, and once with the store behind one link of 1 Gbit/s that all share, as an S3 server is.",
}

func artifactRound(ctx context.Context, round int, p sizes, s *report.Section) error {
	for _, link := range []struct {
		name string
		rate float64
	}{{"a folder", 0}, {"behind 1 Gbit/s", linkRate}} {
		if err := artifactFrom(ctx, round, p, s, link.name, link.rate); err != nil {
			return fmt.Errorf("%s: %w", link.name, err)
		}
	}
	return nil
}

func artifactFrom(ctx context.Context, round int, p sizes, s *report.Section, name string, rate float64) (err error) {
	folder, err := os.MkdirTemp("", "fulcrum-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	inner, err := dir.Open(filepath.Join(folder, "origin"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inner.Close()) }()
	o := &origin{Origin: inner, rate: rate}
	data := make([]byte, p.artifact)
	if _, err := rand.Read(data); err != nil {
		return err
	}
	sum := crux.Checksum(sha256.Sum256(data))
	if err := o.Put(ctx, sum, int64(len(data)), bytes.NewReader(data)); err != nil {
		return err
	}
	var ours, peer fetched
	err = inTurns(round, func() error {
		return withBed(ctx, bed.Options{Nodes: p.caches, Artifacts: o, Dir: folder}, func(b *bed.Bed, start time.Time) (err error) {
			if err := mustReach(ctx, reach{start: start, limit: formedLimit, every: 5 * time.Millisecond, n: p.caches, ok: b.Formed}, "one flock"); err != nil {
				return err
			}
			ours, err = fetchAll(o, p, func(i int) error {
				_, err := b.Nodes[i].Pastiche.Fetch(ctx, sum)
				return err
			})
			return err
		})
	}, func() (err error) {
		peer, err = readAll(ctx, o, p, folder, sum)
		return err
	})
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s to %d nodes, store %s", size(p.artifact), p.caches, name)
	s.Line(what+": copies that the store sent", report.Line{PeerName: eachReads}).Add(ours.copies, peer.copies)
	s.Line(what+": all have it", report.Line{Unit: "s", PeerName: eachReads}).Add(ours.took, peer.took)
	return nil
}

func size(bytes int) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

type fetched struct{ took, copies report.Sample }

// fetchAll has all nodes fetch at once.
func fetchAll(o *origin, p sizes, fetch func(i int) error) (fetched, error) {
	errs := make([]error, p.caches)
	before, start := o.sent.Load(), time.Now()
	var group sync.WaitGroup
	for i := range p.caches {
		group.Go(func() { errs[i] = fetch(i) })
	}
	group.Wait()
	return fetched{
		took:   seconds(time.Since(start)),
		copies: report.Sample{Value: float64(o.sent.Load()-before) / float64(p.artifact)},
	}, errors.Join(errs...)
}

// readAll has caches that know of no others read the store.
func readAll(ctx context.Context, o *origin, p sizes, folder string, sum crux.Checksum) (f fetched, err error) {
	caches := make([]*store.Store, p.caches)
	for i := range caches {
		if caches[i], err = store.Open(store.Config{Dir: filepath.Join(folder, fmt.Sprint("alone", i)), MaxBytes: 2 * int64(p.artifact)}); err != nil {
			return f, err
		}
		defer caches[i].Close()
	}
	return fetchAll(o, p, func(i int) error {
		r, n, err := o.Get(ctx, sum)
		if err != nil {
			return err
		}
		return errors.Join(caches[i].Put(ctx, sum, n, r), r.Close())
	})
}

// origin is an artifact store that counts what it sends, and that may be behind
// a link that all its readers share.
type origin struct {
	pastiche.Origin
	rate float64 // bytes a second; 0: as fast as it can
	sent atomic.Int64

	mu   sync.Mutex
	free time.Time // when the link has sent what it was given
}

func (o *origin) Get(ctx context.Context, sum crux.Checksum) (io.ReadCloser, int64, error) {
	r, n, err := o.Origin.Get(ctx, sum)
	if err != nil {
		return nil, 0, err
	}
	return &reader{r, o, ctx}, n, nil
}

// send waits until the link has sent n bytes.
func (o *origin) send(ctx context.Context, n int) error {
	o.sent.Add(int64(n))
	if o.rate == 0 {
		return nil
	}
	o.mu.Lock()
	if now := time.Now(); o.free.Before(now) {
		o.free = now
	}
	o.free = o.free.Add(time.Duration(float64(n) / o.rate * float64(time.Second)))
	wait := time.Until(o.free)
	o.mu.Unlock()
	if wait < time.Millisecond { // timers are no finer: it is waited for with the next
		return nil
	}
	return pause(ctx, wait)
}

// reader reads one artifact; its context is that of the Get, as with any body
// of an answer.
type reader struct {
	io.ReadCloser
	o   *origin
	ctx context.Context
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if n > 0 {
		if serr := r.o.send(r.ctx, n); serr != nil {
			return n, serr
		}
	}
	return n, err
}
