package wire

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fulcrum.example/crux"
)

// kindCodes is the one map between error kinds and gRPC codes.
var kindCodes = map[crux.Kind]codes.Code{
	crux.Internal:     codes.Internal,
	crux.Invalid:      codes.InvalidArgument,
	crux.NotFound:     codes.NotFound,
	crux.Exists:       codes.AlreadyExists,
	crux.Denied:       codes.PermissionDenied,
	crux.Unknown:      codes.Unauthenticated,
	crux.Unavailable:  codes.Unavailable,
	crux.Timeout:      codes.DeadlineExceeded,
	crux.Exhausted:    codes.ResourceExhausted,
	crux.Conflict:     codes.FailedPrecondition,
	crux.Corrupt:      codes.DataLoss,
	crux.Canceled:     codes.Canceled,
	crux.NotSupported: codes.Unimplemented,
}

var codeKinds = func() map[codes.Code]crux.Kind {
	m := make(map[codes.Code]crux.Kind, len(kindCodes))
	for k, c := range kindCodes {
		m[c] = k
	}
	m[codes.Aborted] = crux.Conflict
	m[codes.OutOfRange] = crux.Invalid
	return m
}()

// ToStatus makes err ready to leave a gRPC server: the code of its kind, and
// its text. An error that has a status already keeps it. nil stays nil.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	var ce *crux.Error
	if !errors.As(err, &ce) {
		if _, ok := status.FromError(err); ok {
			return err
		}
	}
	return status.Error(kindCodes[crux.KindOf(err)], err.Error())
}

// remote is an error that came over gRPC: its text is the remote's, and both
// crux.KindOf and status.Code understand it.
type remote struct {
	status *status.Status
}

// Error gives the remote's text alone, without gRPC's "rpc error" preface.
func (r *remote) Error() string { return r.status.Message() }

// GRPCStatus lets the status package see through.
func (r *remote) GRPCStatus() *status.Status { return r.status }

// FromStatus turns what a gRPC call returned into an error whose kind
// crux.KindOf finds; status.Code still gives the code. nil stays nil.
func FromStatus(err error) error {
	if err == nil {
		return nil
	}
	var ce *crux.Error
	if errors.As(err, &ce) {
		return err
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	kind, ok := codeKinds[st.Code()]
	if !ok {
		kind = crux.Internal
	}
	return &crux.Error{Kind: kind, Err: &remote{st}}
}
