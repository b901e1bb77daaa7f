package lashup

import (
	"context"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/lashup/replica"
	pb "fulcrum.example/protos/lashup"
)

// maxWrites bounds the operations of one write.
const maxWrites = 1024

// storeAPI serves protos/lashup.Store.
type storeAPI struct {
	pb.UnimplementedStoreServer
	*api
}

// Hello says who answers.
func (a storeAPI) Hello(context.Context, *pb.HelloRequest) (*pb.HelloReply, error) {
	return &pb.HelloReply{Node: wire.NodeIDTo(a.self), Inst: string(a.inst), Epoch: a.epoch}, nil
}

// Write applies operations, once for each request ID.
func (a storeAPI) Write(ctx context.Context, m *pb.WriteRequest) (*pb.WriteReply, error) {
	list, safe, err := a.writesFrom(ctx, m.GetWrites())
	if err != nil {
		return nil, err
	}
	if err := a.gate.enter(); err != nil {
		return nil, err
	}
	defer a.gate.leave()
	version, err := a.requests.do(ctx, m.GetId(), safe, func() (replica.Version, error) {
		// A caller that hangs up does not make the outcome uncertain.
		v, err := a.store.Write(context.WithoutCancel(ctx), list)
		if err != nil && v != (replica.Version{}) {
			err = crux.Errorf("", crux.Timeout, "%w", err) // whether it lasts is not known
		}
		return v, err
	})
	if err != nil {
		return nil, err
	}
	return &pb.WriteReply{Version: versionTo(version)}, nil
}

func versionTo(v replica.Version) *pb.Version {
	return &pb.Version{Epoch: v.Epoch, Number: v.Number}
}

// writesFrom reads operations. safe says that applying them twice is as once.
func (a storeAPI) writesFrom(ctx context.Context, list []*pb.Write) (out []replica.Write, safe bool, err error) {
	const op = "write"
	if len(list) == 0 {
		return nil, false, crux.Errorf(op, crux.Invalid, "there is nothing to write")
	}
	if len(list) > maxWrites {
		return nil, false, crux.Errorf(op, crux.Exhausted, "%d operations at once: %d are taken", len(list), maxWrites)
	}
	safe = true
	for _, m := range list {
		w := replica.Write{Key: m.GetKey(), Volatile: m.GetVolatile()}
		if err := a.mayWrite(ctx, w.Key); err != nil {
			return nil, false, err
		}
		var again bool
		if w.Op, again, err = opFrom(m.GetOp()); err == nil {
			err = w.Op.Check()
		}
		if err != nil {
			return nil, false, crux.Wrap(op, err)
		}
		if w.Seen, err = contextFrom(m.GetContext()); err != nil {
			return nil, false, err
		}
		safe = safe && again && w.Seen == nil
		out = append(out, w)
	}
	return out, safe, nil
}

// mayWrite refuses writes to this node's own namespace that come from another
// node. Other nodes' namespaces the store refuses.
func (a storeAPI) mayWrite(ctx context.Context, key []string) error {
	if len(key) > 0 && key[0] == ownedElement && !a.local(ctx) {
		return crux.Errorf("write", crux.Denied, "keys below %s/%s are written by callers on that node alone", ownedElement, a.self)
	}
	return nil
}

// ownedElement begins the keys that have an owner.
const ownedElement = "node"

// Read reads a key.
func (a storeAPI) Read(ctx context.Context, m *pb.ReadRequest) (*pb.ReadReply, error) {
	x, err := a.store.Get(ctx, m.GetKey())
	if err != nil {
		return nil, a.sooner(err)
	}
	return &pb.ReadReply{Value: valueTo(x.Value), Context: contextTo(x.Context), Version: versionTo(x.Version)}, nil
}

// Scan sends what a pattern matches.
func (a storeAPI) Scan(m *pb.ScanRequest, s grpc.ServerStreamingServer[pb.Entry]) error {
	p, err := replica.NewPattern(m.GetPattern().GetElements(), m.GetPattern().GetPrefix())
	if err != nil {
		return err
	}
	sent, failed := uint32(0), error(nil)
	err = a.store.Scan(s.Context(), p, func(x replica.Item) bool {
		out := &pb.Entry{Key: x.Key, Version: versionTo(x.Version)}
		if !m.GetKeysOnly() {
			out.Value = valueTo(x.Value)
		}
		failed = s.Send(out)
		sent++
		return failed == nil && (m.GetLimit() == 0 || sent < m.GetLimit())
	})
	if err != nil && sent == 0 {
		err = a.sooner(err) // nothing came yet: the caller may begin again
	}
	if err != nil {
		return err
	}
	return failed
}

// takeMost is how many events of a watch are taken at a time.
const takeMost = 256

// Watch sends what a pattern matches, and then each change.
func (a storeAPI) Watch(m *pb.WatchRequest, s grpc.ServerStreamingServer[pb.WatchEvent]) error {
	shut, ctx := a.gate.shutting(), s.Context()
	p, err := replica.NewPattern(m.GetPattern().GetElements(), m.GetPattern().GetPrefix())
	if err != nil {
		return err
	}
	since := m.GetSince()
	w, err := a.store.Watch(ctx, p, replica.Version{Epoch: since.GetEpoch(), Number: since.GetNumber()})
	if err != nil {
		return a.sooner(err)
	}
	defer w.Close()
	for {
		select {
		case <-w.More():
		case <-shut:
			return s.Send(&pb.WatchEvent{Event: &pb.WatchEvent_Handover{Handover: handoverTo()}})
		case <-ctx.Done():
			return ctx.Err()
		}
		events, err := w.Take(ctx, takeMost)
		if err != nil {
			return a.sooner(err)
		}
		for i := range events {
			if err := s.Send(eventTo(&events[i])); err != nil {
				return err
			}
			if events[i].Kind == replica.FellBehind {
				return nil
			}
		}
	}
}

// handoverTo tells the receiver of a stream to come again.
func handoverTo() *pb.Handover { return &pb.Handover{RetryMs: retryPause.Milliseconds()} }

func eventTo(e *replica.Event) *pb.WatchEvent {
	v := versionTo(e.Version)
	switch e.Kind {
	case replica.Synced:
		return &pb.WatchEvent{Event: &pb.WatchEvent_Synced{Synced: &pb.Synced{Version: v, Whole: e.Whole}}}
	case replica.FellBehind:
		return &pb.WatchEvent{Event: &pb.WatchEvent_FellBehind{FellBehind: &pb.FellBehind{Version: v}}}
	}
	return &pb.WatchEvent{Event: &pb.WatchEvent_Change{Change: &pb.Change{
		Key: e.Key, Old: valueTo(e.Old), New: valueTo(e.New), Version: v, Existing: e.Existing, OldUnknown: e.OldUnknown,
	}}}
}
