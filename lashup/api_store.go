package lashup

import (
	"context"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/lashup/crdt"
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
	return &pb.HelloReply{Node: wire.NodeIDTo(a.net.self()), Inst: string(a.inst), Epoch: a.epoch}, nil
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
	version, err := a.requests.do(ctx, m.GetId(), safe, func() (uint64, error) {
		// A caller that hangs up does not make the outcome uncertain.
		return a.store.write(context.WithoutCancel(ctx), list)
	})
	if err != nil {
		return nil, err
	}
	return &pb.WriteReply{Version: a.version(version)}, nil
}

func (a *api) version(n uint64) *pb.Version { return &pb.Version{Epoch: a.epoch, Number: n} }

// writesFrom reads operations. safe says that applying them twice is as once.
func (a storeAPI) writesFrom(ctx context.Context, list []*pb.Write) (out []write, safe bool, err error) {
	const op = "write"
	if len(list) == 0 {
		return nil, false, crux.Errorf(op, crux.Invalid, "there is nothing to write")
	}
	if len(list) > maxWrites {
		return nil, false, crux.Errorf(op, crux.Exhausted, "%d operations at once: %d are taken", len(list), maxWrites)
	}
	safe = true
	for _, m := range list {
		w := write{key: m.GetKey(), volatile: m.GetVolatile()}
		if err := a.mayWrite(ctx, w.key); err != nil {
			return nil, false, err
		}
		var again bool
		if w.op, again, err = opFrom(m.GetOp()); err == nil {
			err = w.op.Check()
		}
		if err != nil {
			return nil, false, crux.Wrap(op, err)
		}
		if w.context, err = contextFrom(m.GetContext()); err != nil {
			return nil, false, err
		}
		safe = safe && again && w.context == nil
		out = append(out, w)
	}
	return out, safe, nil
}

// mayWrite refuses writes to this node's own namespace that come from another
// node. Other nodes' namespaces the store refuses.
func (a storeAPI) mayWrite(ctx context.Context, key []string) error {
	if len(key) > 0 && key[0] == ownedElement && !a.local(ctx) {
		return crux.Errorf("write", crux.Denied, "keys below %s/%s are written by callers on that node alone", ownedElement, a.net.self())
	}
	return nil
}

// ownedElement begins the keys that have an owner.
const ownedElement = "node"

// Read reads a key.
func (a storeAPI) Read(ctx context.Context, m *pb.ReadRequest) (*pb.ReadReply, error) {
	e, err := a.store.read(ctx, m.GetKey())
	if err != nil {
		return nil, err
	}
	return &pb.ReadReply{Value: valueTo(e.value), Context: contextTo(e.context), Version: a.version(e.version)}, nil
}

// Scan sends what a pattern matches.
func (a storeAPI) Scan(m *pb.ScanRequest, s grpc.ServerStreamingServer[pb.Entry]) error {
	sent, failed := uint32(0), error(nil)
	err := a.store.scan(s.Context(), patternFrom(m.GetPattern()), func(e entry) bool {
		out := &pb.Entry{Key: validKey(e.key), Version: a.version(e.version)}
		if !m.GetKeysOnly() {
			out.Value = valueTo(e.value)
		}
		failed = s.Send(out)
		sent++
		return failed == nil && (m.GetLimit() == 0 || sent < m.GetLimit())
	})
	if err != nil {
		return err
	}
	return failed
}

func patternFrom(m *pb.Pattern) pattern { return pattern{m.GetElements(), m.GetPrefix()} }

// Watch sends what a pattern matches, and then each change.
func (a storeAPI) Watch(m *pb.WatchRequest, s grpc.ServerStreamingServer[pb.WatchEvent]) error {
	shut := a.gate.shutting()
	since := uint64(0)
	if v := m.GetSince(); v.GetEpoch() == a.epoch {
		since = v.GetNumber()
	}
	w, err := a.store.watch(patternFrom(m.GetPattern()), since)
	if err != nil {
		return err
	}
	defer w.close()
	last := since
	for {
		select {
		case <-w.more():
		case <-shut:
			return s.Send(&pb.WatchEvent{Event: &pb.WatchEvent_Handover{Handover: a.handover(last)}})
		case <-s.Context().Done():
			return s.Context().Err()
		}
		events, behind := w.take()
		for i := range events {
			if err := s.Send(a.eventTo(&events[i])); err != nil {
				return err
			}
			last = events[i].version
		}
		if behind {
			return s.Send(&pb.WatchEvent{Event: &pb.WatchEvent_FellBehind{FellBehind: &pb.FellBehind{Version: a.version(last)}}})
		}
	}
}

func (a *api) handover(last uint64) *pb.Handover {
	return &pb.Handover{RetryMs: retryPause.Milliseconds(), Version: a.version(last)}
}

func (a *api) eventTo(e *event) *pb.WatchEvent {
	if e.synced {
		return &pb.WatchEvent{Event: &pb.WatchEvent_Synced{Synced: &pb.Synced{Version: a.version(e.version), Whole: e.whole}}}
	}
	c := &pb.Change{Key: validKey(e.key), New: valueTo(e.new), Version: a.version(e.version), Existing: e.existing, OldUnknown: e.oldUnknown}
	if e.old.Type != crdt.Type(0) {
		c.Old = valueTo(e.old)
	}
	return &pb.WatchEvent{Event: &pb.WatchEvent_Change{Change: c}}
}
