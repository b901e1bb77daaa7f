package fabric

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// retryAfter says whether err is a lashup's word that nothing was done and that
// the same call will be taken soon, and when to ask again.
func retryAfter(err error) (time.Duration, bool) {
	st, ok := status.FromError(err)
	if !ok || st.Code() != codes.Unavailable {
		return 0, false
	}
	for _, d := range st.Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return max(r.GetRetryDelay().AsDuration(), firstPause), true
		}
	}
	return 0, false
}

// ask calls a method until it has an answer: a lashup that is being replaced is
// asked again.
func ask[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for {
		t, err := call()
		if err == nil {
			return t, nil
		}
		after, refused := retryAfter(err)
		if !refused || rest(ctx, after) != nil {
			return t, err
		}
	}
}
