package service

import (
	"context"
	"math/rand/v2"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/sock"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/node"
)

// Metadata keys of protos/node.
const (
	tokenKey  = "fulcrum-token"
	callerKey = "fulcrum-caller"
)

const (
	minPause  = 15 * time.Millisecond
	maxPause  = 250 * time.Millisecond
	flushTime = 300 * time.Millisecond
)

// identity is the metadata by which the node knows us.
type identity struct{ key, value string }

// dialSocket connects to the node's socket; what is on it is between this
// process and the kernel, so it is not encrypted.
func dialSocket(path string, who identity) (*grpc.ClientConn, error) {
	with := func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(ctx, who.key, who.value)
	}
	return grpc.NewClient("passthrough:///node",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "unix", path)
			if err != nil {
				return nil, err
			}
			return sock.Stream(c), nil
		}),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minPause, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxPause},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return wire.FromStatus(invoke(with(ctx), method, req, reply, cc, opts...))
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			s, err := open(with(ctx), d, cc, method, opts...)
			return s, wire.FromStatus(err)
		}),
	)
}

// keepStream keeps a stream from the node open until ctx ends: open opens one
// and gives the function that receives a message of it; broken hears of each
// break, after which the stream is opened again, soon and then less soon.
func keepStream(ctx context.Context, open func(context.Context) (func() error, error), broken func(error)) {
	pause := minPause
	for ctx.Err() == nil {
		err := func() error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			receive, err := open(ctx)
			for err == nil {
				if err = receive(); err == nil {
					pause = minPause
				}
			}
			return err
		}()
		if ctx.Err() != nil {
			return
		}
		broken(wire.FromStatus(err))
		t := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		pause = min(2*pause, maxPause)
	}
}

// attach keeps the life line to the node. When it has been down for a lease,
// the routine is asked to quit.
func (n *Node) attach(ctx context.Context) {
	first := true
	var lease *time.Timer
	defer func() {
		if lease != nil {
			lease.Stop()
		}
	}()
	lost := func(err error) {
		if n.leaving.Load() {
			<-ctx.Done() // flush ended the stream on purpose
			return
		}
		if first {
			// Before the first Info only a refusal is final: a node that is
			// not there yet may come.
			switch crux.KindOf(err) {
			case crux.Unavailable, crux.Canceled, crux.Timeout:
			default:
				n.fail(err)
			}
			return
		}
		if lease == nil {
			n.log.Warn("the node is away", "why", err, "lease", n.info.lease)
			lease = time.AfterFunc(n.info.lease, func() { n.askQuit(termPatience) })
		}
	}
	keepStream(ctx, func(ctx context.Context) (func() error, error) {
		s, err := n.client.Attach(ctx)
		if err != nil {
			return nil, err
		}
		return func() error {
			m, err := s.Recv()
			if err != nil {
				return err
			}
			switch m := m.GetMsg().(type) {
			case *node.FromNode_Info:
				if first {
					if n.info, err = infoFrom(m.Info); err != nil {
						n.fail(err)
						return err
					}
					first = false
					n.info.log = n.log.With("service", n.info.service)
					close(n.attached)
				}
				if lease != nil {
					n.log.Info("the node is back")
					lease.Stop()
					lease = nil
					n.keys.fire() // what was revoked meanwhile nobody told
				}
				select {
				case n.streams <- s:
				case <-ctx.Done():
				}
			case *node.FromNode_Quit:
				n.askQuit(time.Duration(m.Quit.GetDeadlineMs()) * time.Millisecond)
			}
			return nil
		}, nil
	}, lost)
}

func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
}

// askQuit has the routine asked to quit, once.
func (n *Node) askQuit(patience time.Duration) {
	if patience <= 0 {
		patience = termPatience
	}
	select {
	case n.quits <- patience:
	default:
	}
}

// endpointName is what makes a beat one endpoint's.
type endpointName struct {
	horde crux.Horde
	inst  crux.Inst
	netID crux.NetID
}

// sendBeats forwards heartbeats. It keeps the last of each endpoint, and sends
// them all when the node comes back.
func (n *Node) sendBeats(ctx context.Context) {
	last := make(map[endpointName]crux.Fservice)
	var stream node.Node_AttachClient
	send := func(beats []crux.Fservice) {
		if stream == nil || len(beats) == 0 {
			return
		}
		m := &node.FromChild{}
		for _, b := range beats {
			m.Beats = append(m.Beats, wire.FserviceTo(b))
		}
		if stream.Send(m) != nil {
			stream = nil // the receiving side learns why, and brings the next
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case stream = <-n.streams:
			all := make([]crux.Fservice, 0, len(last))
			for _, b := range last {
				all = append(all, b)
			}
			send(all)
		case beats := <-n.beats:
			for _, b := range beats {
				k := endpointName{b.Horde, b.Inst, b.NetID}
				if b.Status == crux.Gone {
					delete(last, k)
				} else {
					last[k] = b
				}
			}
			send(beats)
		case sent := <-n.flushes:
			n.leaving.Store(true)
			if stream != nil && stream.CloseSend() == nil {
				// The node ends the stream when it has read it to the end.
				select {
				case <-stream.Context().Done():
				case <-time.After(flushTime):
				case <-ctx.Done():
				}
			}
			stream = nil
			close(sent)
		}
	}
}

// beat hands heartbeats to the sender.
func (n *Node) beat(beats []crux.Fservice) {
	select {
	case n.beats <- beats:
	case <-n.done:
	}
}

// flush ends the life line once the node has read the last beats, which it waits
// for no longer than a moment.
func (n *Node) flush() {
	sent := make(chan struct{})
	select {
	case n.flushes <- sent:
		<-sent
	case <-n.done:
	}
}
