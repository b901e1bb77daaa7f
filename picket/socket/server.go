package socket

import (
	"context"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
)

// NewServer makes a gRPC server for a unix socket: it admits our own user only,
// turns errors into gRPC codes (crux/wire), and survives panicking handlers.
// Its Stop waits for the handlers. log may be nil.
func NewServer(log *slog.Logger) *grpc.Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return grpc.NewServer(
		grpc.Creds(ownUser{}),
		grpc.UnaryInterceptor(unary(log)),
		grpc.StreamInterceptor(stream(log)),
		grpc.WaitForHandlers(true),
	)
}

func unary(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (reply any, err error) {
		defer func() { err = wire.ToStatus(err) }()
		defer recovered(log, info.FullMethod, &err)
		return handle(ctx, req)
	}
}

func stream(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
		defer func() { err = wire.ToStatus(err) }()
		defer recovered(log, info.FullMethod, &err)
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
