// Package wire translates between crux types and the messages of protos/node,
// and between error kinds and gRPC codes: the one place for both. Protobuf
// stops here; inside are Go types.
//
// Decoders take bytes from outside: they check lengths and names and return an
// error of kind Invalid, never panic.
package wire
