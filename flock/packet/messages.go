package packet

import (
	"fulcrum.example/crux"
	"fulcrum.example/flock"
)

// blank makes an empty message of each kind.
var blank = [...]func() flock.Message{
	flock.KindHello:        func() flock.Message { return new(flock.Hello) },
	flock.KindJoin:         func() flock.Message { return new(flock.Join) },
	flock.KindOffer:        func() flock.Message { return new(flock.Offer) },
	flock.KindAccept:       func() flock.Message { return new(flock.Accept) },
	flock.KindGrant:        func() flock.Message { return new(flock.Grant) },
	flock.KindProofAsk:     func() flock.Message { return new(flock.ProofAsk) },
	flock.KindProof:        func() flock.Message { return new(flock.Proof) },
	flock.KindMove:         func() flock.Message { return new(flock.Move) },
	flock.KindFound:        func() flock.Message { return new(flock.Found) },
	flock.KindBeat:         func() flock.Message { return new(flock.Beat) },
	flock.KindAck:          func() flock.Message { return new(flock.Ack) },
	flock.KindEpoch:        func() flock.Message { return new(flock.Epoch) },
	flock.KindVote:         func() flock.Message { return new(flock.Vote) },
	flock.KindPreVote:      func() flock.Message { return new(flock.PreVote) },
	flock.KindPreVoteReply: func() flock.Message { return new(flock.PreVoteReply) },
	flock.KindRelease:      func() flock.Message { return new(flock.Release) },
	flock.KindStale:        func() flock.Message { return new(flock.Stale) },
	flock.KindLeave:        func() flock.Message { return new(flock.Leave) },
	flock.KindDismiss:      func() flock.Message { return new(flock.Dismiss) },
	flock.KindPull:         func() flock.Message { return new(flock.Pull) },
	flock.KindPage:         func() flock.Message { return new(flock.Page) },
}

// sealings is the sealing of each kind; 0 for kinds that there are not.
var sealings = func() (s [256]flock.Sealing) {
	for k, f := range blank {
		if f != nil {
			s[k] = f().Sealing()
		}
	}
	return s
}()

// SealingOf says under which sort of key a kind of message travels; 0 if there
// is no such kind.
func SealingOf(k flock.Kind) flock.Sealing { return sealings[k] }

// AppendBody appends the message's body, of exactly m.Size() bytes.
func AppendBody(b []byte, m flock.Message) []byte {
	c := coder{b: b}
	c.message(m, len(b))
	return c.b
}

// DecodeBody reads a body whose packet was authenticated. The message shares no
// memory with b.
func DecodeBody(k flock.Kind, b []byte) (flock.Message, error) {
	if SealingOf(k) == 0 {
		return nil, crux.Errorf("decode packet", crux.Invalid, "there is no kind %d of messages", k)
	}
	m := blank[k]()
	size := len(b)
	c := coder{b: b, reading: true}
	c.message(m, 0)
	if c.bad || len(c.b) != 0 {
		return nil, crux.Errorf("decode packet", crux.Invalid, "the body of a message of kind %d is malformed", k)
	}
	// A padded body shorter or longer than it should be.
	if m.Size() != size {
		return nil, crux.Errorf("decode packet", crux.Invalid, "the body of a message of kind %d has %d bytes", k, size)
	}
	return m, nil
}

// message codes the fields of any message.
func (c *coder) message(m flock.Message, start int) {
	switch m := m.(type) {
	case *flock.Hello:
		c.hello(m, start)
	case *flock.Join:
		c.join(m, start)
	case *flock.Offer:
		c.offer(m)
	case *flock.Accept:
		c.record(&m.Record, nil)
		c.u64(&m.Nonce)
	case *flock.Grant:
		c.grant(m)
	case *flock.ProofAsk:
		c.flock(&m.Flock)
		c.u64(&m.Seed)
		c.u16(&m.Page)
		c.pad(start, m.Size())
	case *flock.Proof:
		c.proof(m)
	case *flock.Move:
		c.flock(&m.From)
		c.summary(&m.To)
	case *flock.Found:
		c.flock(&m.Flock)
		c.summary(&m.Other)
	case *flock.Beat:
		c.beat(m)
	case *flock.Ack:
		c.triple(&m.Flock, &m.Epoch, &m.Sent)
		c.u64(&m.List)
	case *flock.Stale:
		c.flock(&m.Flock)
		c.u64(&m.Epoch)
		c.summary(&m.Now)
	case *flock.Leave:
		c.flock(&m.Flock)
	case *flock.Dismiss:
		c.flock(&m.Flock)
		c.u8((*uint8)(&m.Code))
	case *flock.Pull:
		c.triple(&m.Flock, &m.From, &m.To)
	case *flock.Page:
		c.triple(&m.Flock, &m.From, &m.To)
		c.entries(&m.Entries, &m.Flock)
	default:
		c.election(m)
	}
}

// election codes the messages by which epochs begin.
func (c *coder) election(m flock.Message) {
	switch m := m.(type) {
	case *flock.Epoch:
		c.u8((*uint8)(&m.Phase))
		c.epoch(&m.Info)
	case *flock.Vote:
		c.triple(&m.Flock, &m.Epoch, &m.Ballot)
		c.u8((*uint8)(&m.Code))
	case *flock.PreVote:
		c.triple(&m.Flock, &m.Epoch, &m.Round)
		c.u64(&m.List)
	case *flock.PreVoteReply:
		c.triple(&m.Flock, &m.Epoch, &m.Round)
		c.u8((*uint8)(&m.Code))
	case *flock.Release:
		c.triple(&m.Flock, &m.Epoch, &m.Ballot)
	default:
		c.bad = true
	}
}

// triple is a flock and two numbers, as many messages begin.
func (c *coder) triple(f *crux.FlockID, a, b *uint64) {
	c.flock(f)
	c.u64(a)
	c.u64(b)
}

func (c *coder) hello(m *flock.Hello, start int) {
	c.bool(&m.Reply)
	c.summary(&m.Own)
	c.summary(&m.Best)
	c.pad(start, m.Size())
}

func (c *coder) join(m *flock.Join, start int) {
	c.record(&m.Record, nil)
	c.flock(&m.Want)
	c.u64(&m.Nonce)
	c.bool(&m.Merge)
	c.summary(&m.Own)
	c.pad(start, m.Size())
}

func (c *coder) offer(m *flock.Offer) {
	c.record(&m.Record, nil)
	c.u64(&m.Nonce)
	c.u8((*uint8)(&m.Code))
	c.summary(&m.Flock)
}

func (c *coder) grant(m *flock.Grant) {
	c.u64(&m.Nonce)
	c.epoch(&m.Epoch)
	c.u32(&m.Members)
	c.list(&m.List)
	c.u32(&m.Slot)
	c.node(&m.Source)
	c.addr(&m.Addr)
}

func (c *coder) proof(m *flock.Proof) {
	c.summary(&m.Flock)
	c.u64(&m.Seed)
	c.u16(&m.Page)
	c.u16(&m.Pages)
	c.records(&m.Records)
}

func (c *coder) beat(m *flock.Beat) {
	c.triple(&m.Flock, &m.Epoch, &m.Ballot)
	c.u64(&m.Sent)
	c.u32(&m.Members)
	c.list(&m.List)
	c.state(&m.State)
	c.bool(&m.Moving)
}
