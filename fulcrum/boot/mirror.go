package boot

import (
	"context"

	"fulcrum.example/pastiche/dir"
	"fulcrum.example/pastiche/s3"
	"fulcrum.example/reeve/mirror"
)

// The artifact stores that fulcrum knows keep documents too.
var (
	_ mirror.Store = (*dir.Store)(nil)
	_ mirror.Store = (*s3.Store)(nil)
)

// openMirror keeps the group's documents in the artifact store as well, so that
// the group's intent outlives the disks of all its nodes.
func (n *Node) openMirror(context.Context) error {
	store, ok := n.store.(mirror.Store)
	if !ok {
		n.cfg.Log.Warn("the artifact store keeps no documents: intent is on the nodes' disks alone", "store", n.store.String())
		return nil
	}
	m, err := mirror.Open(mirror.Config{Store: store, Reeve: n.reeve, Members: n.flock, Log: n.cfg.Log.With("part", "mirror")})
	if err != nil {
		return err
	}
	n.onClose("mirror", func(context.Context) error { return m.Close() })
	return nil
}
