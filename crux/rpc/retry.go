package rpc

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

const (
	maxTries   = 5
	firstPause = 5 * time.Millisecond // doubled each time
)

// retryIdempotent repeats a call that was lost with the process that had it, if
// its proto method says that it may be repeated (idempotency_level IDEMPOTENT
// or NO_SIDE_EFFECTS), a few times and within the call's deadline. Calls that
// were never sent gRPC repeats by itself; errors that a handler returned are
// the answer and are not repeated.
func retryIdempotent(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if !idempotent(method) {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	pause := firstPause
	for try := 1; ; try++ {
		var to peer.Peer
		var trailer metadata.MD
		err := invoke(ctx, method, req, reply, cc, append(opts[:len(opts):len(opts)], grpc.Peer(&to), grpc.Trailer(&trailer))...)
		if !Lost(err, &to, trailer) || try == maxTries {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return err
		case <-t.C:
			pause *= 2
		}
	}
}

// Lost says whether a unary call failed because the process that had it, or the
// way to it, was lost: it may have been done, or not. to and trailer are what
// grpc.Peer and grpc.Trailer filled in for the call.
func Lost(err error, to *peer.Peer, trailer metadata.MD) bool {
	return status.Code(err) == codes.Unavailable && to.Addr != nil && len(trailer.Get(answeredKey)) == 0
}

// idempotent looks a method ("/package.Service/Method") up among the linked
// protos.
func idempotent(method string) bool {
	service, name, ok := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	if !ok {
		return false
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return false
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return false
	}
	md := sd.Methods().ByName(protoreflect.Name(name))
	if md == nil {
		return false
	}
	o, ok := md.Options().(*descriptorpb.MethodOptions)
	if !ok {
		return false
	}
	switch o.GetIdempotencyLevel() {
	case descriptorpb.MethodOptions_IDEMPOTENT, descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
		return true
	}
	return false
}
