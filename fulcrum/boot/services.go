package boot

import (
	"context"
	"path/filepath"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/fulcrum/operator"
	"fulcrum.example/picket"
	"fulcrum.example/picket/run"
	"fulcrum.example/picket/socket"
	"fulcrum.example/protos/admin"
)

// childLease is how long services live on without their node.
const childLease = 30 * time.Second

// ownBinary is this process's binary, also when its file was replaced.
const ownBinary = "/proc/self/exe"

// openPicket starts the heartbeater and picket, which looks for the services of
// an earlier fulcrum.
func (n *Node) openPicket(context.Context) error {
	var err error
	n.picket, err = picket.Open(picket.Config{
		ID: n.id, Dir: n.cfg.Data, Confab: n.confab, Registry: n.reeve, Members: n.flock,
		KeysFor: n.ring.For, EndpointKey: n.ring.PublicKey, Publisher: n.reeve, Artifacts: n.pastiche,
		Self: ownBinary, KillAfter: n.cfg.Drain, Lease: childLease, Log: n.cfg.Log.With("part", "picket"),
	})
	if err != nil {
		return err
	}
	n.onClose("picket", n.picket.Shutdown)
	return nil
}

// builtins are the services that every node runs through picket from its boot
// on.
var builtins = []crux.Inst{"pastiche1_0", "dean1_0", "proctor1_0"}

// openBuiltins has picket run the built-in list, and registers the services
// that the boot itself started.
func (n *Node) openBuiltins(ctx context.Context) error {
	n.picket.AddBuiltin("Pastiche1_0", n.pastiche.Pastiche1_0)
	n.picket.AddBuiltin("Dean1_0", n.dean.Dean1_0)
	n.picket.AddBuiltin("Proctor1_0", n.proctor.Proctor1_0)
	for _, inst := range builtins {
		u := crux.Unit{Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, Kind: crux.Builtin, Func: exported(inst)}
		if err := n.picket.Start(ctx, u); err != nil {
			return err
		}
	}
	for _, inst := range []crux.Inst{"reeve1_0", "picket1_0"} {
		if err := n.register(ctx, inst); err != nil {
			return err
		}
	}
	n.run("built-in children", n.runChildren)
	n.run("steward's row", n.registerSteward)
	n.run("adoption", n.awaitAdoption)
	return nil
}

// exported is the name of a built-in's function: Pastiche1_0 for pastiche1_0.
func exported(inst crux.Inst) string { return string(inst[0]-'a'+'A') + string(inst[1:]) }

// register enters a service of the node port in the registry.
func (n *Node) register(ctx context.Context, inst crux.Inst) error {
	v, now := n.flock.View(), time.Now()
	return n.reeve.Put(ctx, crux.Fservice{
		Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, NetID: crux.NetIDOf(n.cfg.Addr), Flock: v.Flock,
		Issued: now, ValidUntil: now.Add(time.Minute), Status: crux.Serving,
	}, nil, 0)
}

// keepPriority gives this process the priority that goes with its part in the flock.
func (n *Node) keepPriority(ctx context.Context) {
	leads, first := false, true
	for v := range n.flock.Watch(ctx) {
		now := v.Leader == v.Self && len(v.Members) > 1
		if now == leads && !first {
			continue
		}
		if err := run.PreferNode(now); err != nil {
			n.cfg.Log.Info("this node is given no priority: where processors are short, it may be taken for lost", "why", err)
			return
		}
		leads, first = now, false
	}
}

const stewardInst crux.Inst = "steward1_0"

// registerSteward keeps the steward's row while this node leads.
func (n *Node) registerSteward(ctx context.Context) {
	leads := false
	for v := range n.flock.Watch(ctx) {
		now := v.Acting && v.Leader == v.Self
		if now == leads {
			continue
		}
		var err error
		if now {
			err = n.register(ctx, stewardInst)
		} else {
			err = n.reeve.Drop(ctx, crux.DefaultHorde, stewardInst, crux.NetIDOf(n.cfg.Addr))
		}
		if err != nil {
			n.cfg.Log.Error("the steward's row is wrong", "leads", now, "error", err)
			continue
		}
		leads = now
	}
}

// awaitAdoption tells reeve when picket has found what outlived the last
// fulcrum: only then does a row that this node does not have prove anything.
func (n *Node) awaitAdoption(ctx context.Context) {
	select {
	case <-n.picket.AdoptionDone():
		n.reeve.Ready()
	case <-ctx.Done():
	}
}

// openSocket serves the operator and the clients that attach to this node.
func (n *Node) openSocket(context.Context) error {
	l, err := socket.Listen(filepath.Join(n.cfg.Data, operator.SocketName))
	if err != nil {
		return err
	}
	s := socket.NewServer(n.cfg.Log.With("part", "socket"), socket.WithServices(n.picket.PIDs))
	admin.RegisterAdminServer(s, adminServer{n: n})
	socket.Register(s, socket.Config{
		ID: n.id, Addr: n.cfg.Addr, Registry: n.reeve, Members: n.flock, KeysFor: n.ring.For,
		Dir: filepath.Join(n.cfg.Data, "clients"), Taken: n.picket.Taken, Lease: childLease,
	})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	n.onClose("socket", func(context.Context) error {
		s.Stop()
		return <-served
	})
	n.cfg.Log.Info("up", "node", n.id, "addr", n.cfg.Addr, "bloc", n.policy.Bloc(), "flock", n.cfg.FlockName, "version", n.cfg.Version)
	return nil
}
