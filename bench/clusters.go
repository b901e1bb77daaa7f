package main

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"fulcrum.example/bench/bed"
	"fulcrum.example/bench/gossip"
)

// lan names the peer and its setting.
const lan = "memberlist, LAN settings"

// withBed starts a bed, calls f with the time from which its start counts, and
// closes it.
func withBed(ctx context.Context, opts bed.Options, f func(b *bed.Bed, start time.Time) error) error {
	b, err := bed.New(opts)
	if err != nil {
		return err
	}
	start := time.Now()
	err = b.Start(ctx)
	if err == nil {
		err = f(b, start)
	}
	return errors.Join(err, b.Close())
}

// errNotFormed says that a group has not formed in time.
var errNotFormed = errors.New("they have not formed a group")

// withCluster does the same with a cluster of memberlist. Where f finds that it has
// not formed, another one is tried, once: joins get lost on a busy machine, and are
// made up for by full exchanges only, which may come too late.
func withCluster(nodes int, f func(c *gossip.Cluster, start time.Time) error) error {
	err := oneCluster(nodes, f)
	if errors.Is(err, errNotFormed) {
		err = oneCluster(nodes, f)
	}
	return err
}

func oneCluster(nodes int, f func(c *gossip.Cluster, start time.Time) error) error {
	subnet, port := bed.RandomNet()
	var addrs []netip.AddrPort
	for i := range nodes {
		addrs = append(addrs, bed.Host(subnet, i+1, port))
	}
	c, err := gossip.New(addrs)
	if err != nil {
		return err
	}
	start := time.Now()
	err = c.Start()
	if err == nil {
		err = f(c, start)
	}
	return errors.Join(err, c.Close())
}
