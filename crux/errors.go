package crux

import (
	"context"
	"errors"
	"fmt"
)

// Kind says what sort of failure an error is. Each kind maps to one gRPC code,
// in one place (crux/wire), and to advice on whether to try again.
type Kind uint8

// The kinds of errors.
const (
	Internal     Kind = iota // a defect of ours
	Invalid                  // the request itself is wrong
	NotFound                 // the named thing is not there
	Exists                   // the named thing is there already
	Denied                   // known, but not allowed
	Unknown                  // not known: no identity, or one that is not enrolled
	Unavailable              // try again later; nothing was done
	Timeout                  // did not end in time
	Exhausted                // a limit was reached
	Conflict                 // the state does not allow it (older epoch, lower version)
	Corrupt                  // bytes do not match their checksum or signature
	Canceled                 // the caller gave up
	NotSupported             // this build or machine cannot do it
)

var kindNames = [...]string{"internal", "invalid", "not found", "exists", "denied", "unknown identity",
	"unavailable", "timeout", "exhausted", "conflict", "corrupt", "canceled", "not supported"}

// String gives the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[0]
}

// Error is an error with the operation that failed and its kind.
type Error struct {
	Op   string // what was attempted, as "publish" or "parse selector"
	Kind Kind
	Err  error // what happened, to which thing, and what to do about it
}

// Error prints "op: what happened".
func (e *Error) Error() string {
	if e.Op == "" {
		return e.Err.Error()
	}
	return e.Op + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error; %w works as in fmt.Errorf.
func Errorf(op string, k Kind, format string, args ...any) error {
	return &Error{Op: op, Kind: k, Err: fmt.Errorf(format, args...)}
}

// Wrap gives err an operation, and keeps its kind. Wrap of nil is nil.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Kind: KindOf(err), Err: err}
}

// KindOf finds the kind of err: of the outermost Error in its chain, or what a
// context error means, or Internal.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Internal
}
