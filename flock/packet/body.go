package packet

import (
	"encoding/binary"
	"net/netip"

	"fulcrum.example/crux"
	"fulcrum.example/flock"
)

// coder walks over a message's fields, in the order of the wire, and either
// writes them or reads them: one description of each message serves both, so
// that the two cannot differ. Reading stops at the first fault and leaves the
// rest zero.
type coder struct {
	b       []byte // written so far, or left to read
	reading bool
	bad     bool
}

// take reads the next n bytes; nil if there are fewer.
func (c *coder) take(n int) []byte {
	if c.bad || len(c.b) < n {
		c.bad = true
		return nil
	}
	f := c.b[:n]
	c.b = c.b[n:]
	return f
}

func (c *coder) raw(f []byte) {
	if !c.reading {
		c.b = append(c.b, f...)
		return
	}
	copy(f, c.take(len(f)))
}

func (c *coder) u8(v *uint8) {
	if !c.reading {
		c.b = append(c.b, *v)
	} else if f := c.take(1); f != nil {
		*v = f[0]
	}
}

func (c *coder) u16(v *uint16) {
	if !c.reading {
		c.b = binary.BigEndian.AppendUint16(c.b, *v)
	} else if f := c.take(2); f != nil {
		*v = binary.BigEndian.Uint16(f)
	}
}

func (c *coder) u32(v *uint32) {
	if !c.reading {
		c.b = binary.BigEndian.AppendUint32(c.b, *v)
	} else if f := c.take(4); f != nil {
		*v = binary.BigEndian.Uint32(f)
	}
}

func (c *coder) u64(v *uint64) {
	if !c.reading {
		c.b = binary.BigEndian.AppendUint64(c.b, *v)
	} else if f := c.take(8); f != nil {
		*v = binary.BigEndian.Uint64(f)
	}
}

func (c *coder) bool(v *bool) {
	var x uint8
	if *v {
		x = 1
	}
	c.u8(&x)
	if c.reading {
		c.bad = c.bad || x > 1
		*v = x == 1
	}
}

func (c *coder) node(v *crux.NodeID)   { c.raw(v[:]) }
func (c *coder) flock(v *crux.FlockID) { c.raw(v[:]) }
func (c *coder) state(v *crux.MemberState) {
	c.u8((*uint8)(v))
}

// addr is the length of the IP (0, 4 or 16), the IP, and the port. An IPv4
// address has one form only.
func (c *coder) addr(v *netip.AddrPort) {
	ip := v.Addr().WithZone("").AsSlice()
	n, port := uint8(len(ip)), v.Port()
	c.u8(&n)
	if !c.reading {
		c.raw(ip)
		c.u16(&port)
		return
	}
	if n != 0 && n != 4 && n != 16 {
		c.bad = true
		return
	}
	a, _ := netip.AddrFromSlice(c.take(int(n))) // no bytes: the zero address
	c.u16(&port)
	if c.bad = c.bad || a.Is4In6(); !c.bad {
		*v = netip.AddrPortFrom(a, port)
	}
}

// pad fills a body of fixed size up with zeros, and wants them there.
func (c *coder) pad(start, size int) {
	if !c.reading {
		for len(c.b)-start < size {
			c.b = append(c.b, 0)
		}
		return
	}
	for _, x := range c.b {
		c.bad = c.bad || x != 0
	}
	c.b = nil
}

// count is the number of elements of a slice, each of which takes at least
// least bytes.
func (c *coder) count(n, least int) int {
	v := uint16(n)
	c.u16(&v)
	if c.reading && int(v)*least > len(c.b) {
		c.bad = true
		return 0
	}
	return int(v)
}

// minRecord is the shortest record, without its flock.
const minRecord = 32 + 3 + 8 + 8 + 32 + 8 + 64

// record is a record with its flock, or, where flock is given, without.
func (c *coder) record(v **flock.Record, of *crux.FlockID) {
	if c.reading {
		*v = new(flock.Record)
	}
	r := *v
	c.raw(r.Key[:])
	c.addr(&r.Addr)
	c.u64(&r.Incarnation)
	c.u64(&r.Seq)
	c.raw(r.Exchange[:])
	switch {
	case of == nil:
		c.flock(&r.Flock)
	case c.reading:
		r.Flock = *of
	}
	c.u64(&r.Bloc)
	c.raw(r.Signature[:])
	if c.reading && !c.bad {
		r.ID = crux.NodeIDOf(r.Key[:])
	}
}

func (c *coder) records(v *[]*flock.Record) {
	n := c.count(len(*v), minRecord+16)
	if c.reading && n > 0 {
		*v = make([]*flock.Record, n)
	}
	for i := range *v {
		if c.bad {
			return
		}
		c.record(&(*v)[i], nil)
	}
}

func (c *coder) entries(v *[]*flock.Entry, of *crux.FlockID) {
	n := c.count(len(*v), 8+4+1+minRecord)
	if c.reading && n > 0 {
		*v = make([]*flock.Entry, n)
	}
	for i := range *v {
		if c.bad {
			return
		}
		if c.reading {
			(*v)[i] = new(flock.Entry)
		}
		e := (*v)[i]
		c.u64(&e.Version)
		c.u32(&e.Slot)
		c.state(&e.State)
		c.record(&e.Record, of)
	}
}

func (c *coder) bloc(v *flock.Bloc) {
	c.u64(&v.Version)
	c.raw(v.Hash[:])
	c.bool(&v.Open)
}

func (c *coder) summary(v *flock.Summary) {
	c.flock(&v.Flock)
	c.u64(&v.Epoch)
	c.node(&v.Leader)
	c.addr(&v.Addr)
	c.u32(&v.Size)
	c.bloc(&v.Bloc)
}

func (c *coder) epoch(v *flock.EpochInfo) {
	c.flock(&v.Flock)
	c.u64(&v.Epoch)
	c.u64(&v.Ballot)
	c.raw(v.Secret[:])
	c.u32(&v.Voters)
	c.u64(&v.Hash)
	c.bool(&v.Voter)
}

func (c *coder) list(v *flock.ListInfo) {
	c.u64(&v.Version)
	c.u64(&v.Hash)
}
