package packet

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"

	"fulcrum.example/confab/seal"
	"fulcrum.example/crux"
	"fulcrum.example/flock"
)

// fill puts random values into everything that v holds.
func fill(r *rand.Rand, v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *netip.AddrPort:
		*x = randomAddr(r)
		return
	case **flock.Record:
		*x = new(flock.Record)
		fill(r, reflect.ValueOf(*x).Elem())
		(*x).ID = crux.NodeIDOf((*x).Key[:])
		return
	case **flock.Entry:
		*x = new(flock.Entry)
		fill(r, reflect.ValueOf(*x).Elem())
		return
	case *[]*flock.Record, *[]*flock.Entry:
		if n := r.IntN(5); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(r, v.Field(i))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()))
	default:
		panic("fill: " + v.Type().String())
	}
}

func randomAddr(r *rand.Rand) netip.AddrPort {
	port := uint16(r.Uint32())
	switch r.IntN(3) {
	case 0:
		return netip.AddrPortFrom(netip.Addr{}, port)
	case 1:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(r.Uint32()), 7}), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, 1: byte(r.Uint32()), 15: 9}), port)
}

// random makes a message of a kind with random content.
func random(r *rand.Rand, k flock.Kind) flock.Message {
	m := blank[k]()
	fill(r, reflect.ValueOf(m).Elem())
	if p, ok := m.(*flock.Page); ok {
		for _, e := range p.Entries {
			e.Record.Flock = p.Flock
		}
	}
	return m
}

// kinds are all kinds of messages that there are.
func kinds() (all []flock.Kind) {
	for k := range blank {
		if blank[k] != nil {
			all = append(all, flock.Kind(k))
		}
	}
	return all
}

func TestEveryMessageHasItsSizeAndReadsBackExactly(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, k := range kinds() {
		for range 200 {
			m := random(r, k)
			if m.Kind() != k {
				t.Fatalf("the message for kind %d is of kind %d", k, m.Kind())
			}
			head := []byte("head")
			b := AppendBody(head, m)[len(head):]
			if len(b) != m.Size() {
				t.Fatalf("kind %d: %d bytes, but Size is %d: %+v", k, len(b), m.Size(), m)
			}
			got, err := DecodeBody(k, b)
			if err != nil {
				t.Fatalf("kind %d: %v", k, err)
			}
			if !reflect.DeepEqual(got, m) {
				t.Fatalf("kind %d: wrote %+v, read %+v", k, m, got)
			}
		}
	}
}

func TestOnlyExactBodiesAreRead(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for _, k := range kinds() {
		b := AppendBody(nil, random(r, k))
		for n := range b {
			if _, err := DecodeBody(k, b[:n]); err == nil {
				t.Errorf("kind %d: %d of %d bytes were read as a whole", k, n, len(b))
			}
		}
		if _, err := DecodeBody(k, append(bytes.Clone(b), 0)); err == nil {
			t.Errorf("kind %d: a rest was accepted", k)
		}
	}
	hello := AppendBody(nil, &flock.Hello{})
	for name, at := range map[string]int{"a bool of 2": 0, "padding": len(hello) - 1, "an IP of 2 bytes": 1 + 32} {
		b := bytes.Clone(hello)
		b[at] = 2
		if _, err := DecodeBody(flock.KindHello, b); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	mapped := AppendBody(nil, &flock.Hello{Own: flock.Summary{Addr: netip.MustParseAddrPort("[::ffff:10.0.0.1]:7")}})
	if _, err := DecodeBody(flock.KindHello, mapped); err == nil {
		t.Error("an IPv4 address in two forms was accepted")
	}
	if _, err := DecodeBody(0, nil); crux.KindOf(err) != crux.Invalid {
		t.Errorf("kind 0: %v", err)
	}
	if _, err := DecodeBody(255, nil); crux.KindOf(err) != crux.Invalid {
		t.Errorf("kind 255: %v", err)
	}
}

func TestNoMessageIsLongerThanAPacket(t *testing.T) {
	t.Parallel()
	if Headroom+seal.Tail != flock.Overhead {
		t.Errorf("a packet has %d bytes around its body; flock reckons with %d", Headroom+seal.Tail, flock.Overhead)
	}
	a6 := netip.MustParseAddrPort("[fd00::1]:7")
	rec := &flock.Record{Addr: a6}
	sum := flock.Summary{Addr: a6}
	for _, m := range []flock.Message{
		&flock.Hello{Own: sum, Best: sum}, &flock.Join{Record: rec, Own: sum}, &flock.Offer{Record: rec, Flock: sum},
		&flock.Accept{Record: rec}, &flock.Grant{Addr: a6}, &flock.ProofAsk{}, &flock.Stale{Now: sum},
	} {
		if n := len(AppendBody(nil, m)); n > flock.MaxBody || n != m.Size() {
			t.Errorf("kind %d: %d bytes, Size %d, at most %d", m.Kind(), n, m.Size(), flock.MaxBody)
		}
	}
	offer := &flock.Offer{Record: rec, Flock: sum}
	if offer.Size() > flock.JoinSize {
		t.Errorf("an Offer of %d bytes answers a Join of %d", offer.Size(), flock.JoinSize)
	}
}

func FuzzDecodeBody(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, k := range kinds() {
		f.Add(uint8(k), AppendBody(nil, random(r, k)))
	}
	f.Fuzz(func(t *testing.T, k uint8, b []byte) {
		m, err := DecodeBody(flock.Kind(k), b)
		if err != nil {
			return
		}
		if again := AppendBody(nil, m); !bytes.Equal(again, b) {
			t.Fatalf("kind %d: read %x, wrote %x", k, b, again)
		}
	})
}
