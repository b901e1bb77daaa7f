package boot

import (
	"context"
	"crypto/ed25519"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	"fulcrum.example/confab/udp"
	"fulcrum.example/crux"
	"fulcrum.example/crux/clock"
	"fulcrum.example/crux/rpc"
	"fulcrum.example/flock/node"
	"fulcrum.example/pastiche"
	"fulcrum.example/picket"
	"fulcrum.example/proctor"
	"fulcrum.example/proctor/dean"
	"fulcrum.example/reeve"
	"fulcrum.example/reeve/keys"
	"fulcrum.example/steward/service"
)

// openIdentity takes the data folder, reads or makes the node key, and puts the
// bloc file in force.
func (n *Node) openIdentity(context.Context) error {
	lock, err := lockData(n.cfg.Data)
	if err != nil {
		return err
	}
	n.onClose("data folder", func(context.Context) error { return lock.Close() })
	if n.identity, err = node.LoadIdentity(n.cfg.Data); err != nil {
		return err
	}
	n.id = n.identity.ID
	if n.policy, err = policy(n.cfg); err != nil {
		return err
	}
	if n.cfg.BlocFile == nil {
		n.cfg.Log.Warn("enrolment is open: whoever holds the secondary key may join this flock and run code here")
		return nil
	}
	return keepBloc(n.cfg.Data, n.cfg.BlocFile)
}
