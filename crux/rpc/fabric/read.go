package fabric

import (
	"context"
	"errors"
	"io"
	"iter"

	pb "fulcrum.example/protos/lashup"
)

// Version is a point in the life of one node's store: versions of one epoch are
// in the order of their numbers, others say nothing to each other. The zero
// Version is before everything.
type Version struct {
	Epoch  uint64 `json:"epoch"`
	Number uint64 `json:"number"`
}

func versionFrom(m *pb.Version) Version { return Version{m.GetEpoch(), m.GetNumber()} }

func (v Version) wire() *pb.Version {
	if v == (Version{}) {
		return nil
	}
	return &pb.Version{Epoch: v.Epoch, Number: v.Number}
}

// Reading is what a node knew of a key.
type Reading struct {
	Key     []string
	Value   *Value // nil: the key has no value
	Version Version
	context []byte
}

// Read reads a key as this node knows it.
func (c *Client) Read(ctx context.Context, key ...string) (Reading, error) {
	r, err := ask(ctx, func() (*pb.ReadReply, error) { return c.store.Read(ctx, &pb.ReadRequest{Key: key}) })
	if err != nil {
		return Reading{}, err
	}
	return Reading{key, valueFrom(r.GetValue()), versionFrom(r.GetVersion()), r.GetContext()}, nil
}

// Entry is one key of a scan.
type Entry struct {
	Key     []string
	Value   *Value // nil if keys only were asked for
	Version Version
}

// ScanOptions narrow a scan.
type ScanOptions struct {
	KeysOnly bool
	Limit    int // 0: none
}

// Scan gives the keys that p selects, in their order, and their values. It ends
// after the first error.
func (c *Client) Scan(ctx context.Context, p Pattern, o ScanOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s, err := ask(ctx, func() (pb.Store_ScanClient, error) {
			return c.store.Scan(ctx, &pb.ScanRequest{Pattern: p.wire(), KeysOnly: o.KeysOnly, Limit: uint32(max(o.Limit, 0))})
		})
		for err == nil {
			var m *pb.Entry
			if m, err = s.Recv(); err == nil && !yield(Entry{m.GetKey(), valueFrom(m.GetValue()), versionFrom(m.GetVersion())}, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(Entry{}, err)
		}
	}
}
