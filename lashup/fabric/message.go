package fabric

import (
	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
	"fulcrum.example/lashup/detect"
	"fulcrum.example/lashup/overlay"
	"fulcrum.example/lashup/route"
)

// Message is a frame or a datagram: of overlay, detect, route or cast, or one
// for the store. It is immutable once sent.
type Message interface {
	Size() int              // the length of the encoding, in bytes
	Append(b []byte) []byte // appends the encoding
}

// Raw is a message in its encoding: what Decode gives for the store's kinds, which
// are decoded in the store's own goroutine.
type Raw []byte

// Size is the number of bytes.
func (m Raw) Size() int { return len(m) }

// Append appends the bytes.
func (m Raw) Append(b []byte) []byte { return append(b, m...) }

// The kinds of messages: the upper half of the first byte.
const (
	kindOverlay = 0x1
	kindDetect  = 0x2
	kindRoute   = 0x3
	kindCast    = 0x4
	kindStore   = 0x5 // and 0x6
)

// Decode reads a message; there must be nothing left over. Multicasts and messages
// of the store share b, which must not be changed any more; others keep no part of
// it. Errors are of kind Invalid.
func Decode(b []byte) (Message, error) {
	if len(b) == 0 {
		return nil, crux.Errorf("decode fabric message", crux.Invalid, "it is empty")
	}
	switch b[0] >> 4 {
	case kindOverlay:
		return result(overlay.Decode(b))
	case kindDetect:
		return result(detect.Decode(b))
	case kindRoute:
		return result(route.Decode(b))
	case kindCast:
		return result(cast.Decode(b))
	case kindStore, kindStore + 1:
		return Raw(b), nil
	}
	return nil, crux.Errorf("decode fabric message", crux.Invalid, "kind %#x is none that this version knows", b[0])
}

// partOf says whose message it is, by its type: which kind it would have on the
// wire.
func partOf(msg Message) byte {
	switch msg.(type) {
	case *overlay.Join, *overlay.Neighbour, *overlay.Accept, *overlay.Refuse, *overlay.Disconnect,
		*overlay.ForwardJoin, *overlay.Shuffle, *overlay.ShuffleReply:
		return kindOverlay
	case *detect.Ping, *detect.Ack, *detect.WitnessRequest, *detect.WitnessReport:
		return kindDetect
	case *route.Digest, *route.Buckets, *route.Summary, *route.Want, *route.Rows, *route.News:
		return kindRoute
	case *cast.Push, *cast.IHave, *cast.Graft:
		return kindCast
	}
	return kindStore
}

// result makes a nil of any type a nil Message.
func result[M Message](m M, err error) (Message, error) {
	if err != nil {
		return nil, err
	}
	return m, nil
}
