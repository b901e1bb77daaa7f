package rpc

import (
	"context"
	"io"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
)

// answeredKey is the trailer of an error that a handler returned: it tells it
// from one that the transport made up because the process died.
const answeredKey = "fulcrum-answered"

// serverOptions are the interceptors of every server: panics become errors of
// kind Internal, and errors leave with the code of their kind.
func serverOptions(log *slog.Logger) []grpc.ServerOption {
	unary := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (resp any, err error) {
		defer func() {
			if p := recover(); p != nil {
				resp, err = nil, panicked(log, info.FullMethod, p)
			}
			if err != nil {
				err = wire.ToStatus(err)
				// It fails only when the call is over, and then nobody reads it.
				_ = grpc.SetTrailer(ctx, metadata.Pairs(answeredKey, "1"))
			}
		}()
		return h(ctx, req)
	}
	stream := func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = panicked(log, info.FullMethod, p)
			}
			err = wire.ToStatus(err)
		}()
		return h(srv, ss)
	}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(unary), grpc.ChainStreamInterceptor(stream)}
}

func panicked(log *slog.Logger, method string, p any) error {
	log.Error("a handler panicked", "method", method, "panic", p, "stack", string(debug.Stack()))
	return crux.Errorf(method, crux.Internal, "the handler failed; its log says why")
}

// clientOptions are the interceptors of every client: errors arrive with their
// kind, and idempotent calls survive the death of the process that had them.
func clientOptions(retry bool) []grpc.DialOption {
	unary := []grpc.UnaryClientInterceptor{fromStatusUnary}
	if retry {
		unary = append(unary, retryIdempotent)
	}
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(unary...), grpc.WithChainStreamInterceptor(fromStatusStream)}
}

func fromStatusUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return wire.FromStatus(invoke(ctx, method, req, reply, cc, opts...))
}

func fromStatusStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, wire.FromStatus(err)
	}
	return kindStream{s}, nil
}

// kindStream gives a stream's errors their kind.
type kindStream struct{ grpc.ClientStream }

func (s kindStream) RecvMsg(m any) error { return endOr(s.ClientStream.RecvMsg(m)) }
func (s kindStream) SendMsg(m any) error { return endOr(s.ClientStream.SendMsg(m)) }

func endOr(err error) error {
	if err == io.EOF {
		return err
	}
	return wire.FromStatus(err)
}
