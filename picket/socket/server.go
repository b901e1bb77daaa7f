package socket

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
)

// Option adds to what NewServer knows.
type Option func(*services)

// WithServices tells the server the process IDs of this node's services, now.
func WithServices(pids func() []int) Option { return func(s *services) { s.pids = pids } }

// NewServer makes a gRPC server for the node's own unix socket: it admits
// processes of our own user, except this node's services; it turns errors into
// gRPC codes (crux/wire) and survives panicking handlers. Its Stop waits for the
// handlers. log may be nil.
func NewServer(log *slog.Logger, options ...Option) *grpc.Server {
	var s services
	for _, o := range options {
		o(&s)
	}
	own, err := statusOf(os.Getpid())
	s.marked = err == nil && !own.noNewPrivs
	if !s.marked && log != nil {
		log.Warn("fulcrum runs with no_new_privs: a service that hides well can pass for an operator on the node's socket", "err", err)
	}
	return newServer(log, ownUser{refuses: s.refuse})
}

func newServer(log *slog.Logger, who ownUser) *grpc.Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return grpc.NewServer(
		grpc.Creds(who),
		grpc.UnaryInterceptor(unary(log)),
		grpc.StreamInterceptor(stream(log)),
		grpc.WaitForHandlers(true),
	)
}

func unary(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (reply any, err error) {
		defer func() { err = wire.ToStatus(err) }()
		defer recovered(log, info.FullMethod, &err)
		if err := admitted(ctx); err != nil {
			return nil, err
		}
		return handle(ctx, req)
	}
}

func stream(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
		defer func() { err = wire.ToStatus(err) }()
		defer recovered(log, info.FullMethod, &err)
		if err := admitted(s.Context()); err != nil {
			return err
		}
		return handle(srv, s)
	}
}

// recovered turns a panic into an error. Called deferred.
func recovered(log *slog.Logger, method string, err *error) {
	if p := recover(); p != nil {
		log.Error("a handler panicked", "method", method, "panic", p, "stack", string(debug.Stack()))
		*err = crux.Errorf(method, crux.Internal, "the node failed to answer; its log says why")
	}
}
