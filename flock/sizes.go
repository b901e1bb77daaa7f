package flock

// Kind and sealing of each message.

func (*Hello) Kind() Kind        { return KindHello }
func (*Join) Kind() Kind         { return KindJoin }
func (*Offer) Kind() Kind        { return KindOffer }
func (*Accept) Kind() Kind       { return KindAccept }
func (*Grant) Kind() Kind        { return KindGrant }
func (*ProofAsk) Kind() Kind     { return KindProofAsk }
func (*Proof) Kind() Kind        { return KindProof }
func (*Move) Kind() Kind         { return KindMove }
func (*Found) Kind() Kind        { return KindFound }
func (*Beat) Kind() Kind         { return KindBeat }
func (*Ack) Kind() Kind          { return KindAck }
func (*Epoch) Kind() Kind        { return KindEpoch }
func (*Vote) Kind() Kind         { return KindVote }
func (*PreVote) Kind() Kind      { return KindPreVote }
func (*PreVoteReply) Kind() Kind { return KindPreVoteReply }
func (*Release) Kind() Kind      { return KindRelease }
func (*Stale) Kind() Kind        { return KindStale }
func (*Leave) Kind() Kind        { return KindLeave }
func (*Dismiss) Kind() Kind      { return KindDismiss }
func (*Pull) Kind() Kind         { return KindPull }
func (*Page) Kind() Kind         { return KindPage }

func (*Hello) Sealing() Sealing        { return Discovery }
func (*Join) Sealing() Sealing         { return Discovery }
func (*Offer) Sealing() Sealing        { return Discovery }
func (*Accept) Sealing() Sealing       { return Pair }
func (*Grant) Sealing() Sealing        { return Pair }
func (*ProofAsk) Sealing() Sealing     { return Pair }
func (*Proof) Sealing() Sealing        { return Pair }
func (*Move) Sealing() Sealing         { return Pair }
func (*Found) Sealing() Sealing        { return Pair }
func (*Beat) Sealing() Sealing         { return Pair }
func (*Ack) Sealing() Sealing          { return Pair }
func (*Epoch) Sealing() Sealing        { return Pair }
func (*Vote) Sealing() Sealing         { return Pair }
func (*PreVote) Sealing() Sealing      { return Pair }
func (*PreVoteReply) Sealing() Sealing { return Pair }
func (*Release) Sealing() Sealing      { return Pair }
func (*Stale) Sealing() Sealing        { return Pair }
func (*Leave) Sealing() Sealing        { return Pair }
func (*Dismiss) Sealing() Sealing      { return Pair }
func (*Pull) Sealing() Sealing         { return Group }
func (*Page) Sealing() Sealing         { return Group }

// Size of each body.

func (*Hello) Size() int    { return HelloSize }
func (*Join) Size() int     { return JoinSize }
func (m *Offer) Size() int  { return m.Record.Size() + 8 + 1 + m.Flock.size() }
func (m *Accept) Size() int { return m.Record.Size() + 8 }
func (m *Grant) Size() int {
	return 8 + epochInfoSize + 4 + 16 + 4 + 8 + addrSize(m.Addr)
}
func (*ProofAsk) Size() int { return MaxBody }
func (m *Proof) Size() int {
	n := m.Flock.size() + 8 + 2 + 2 + 2
	for _, r := range m.Records {
		n += r.Size()
	}
	return n
}
func (m *Move) Size() int       { return 16 + m.To.size() }
func (m *Found) Size() int      { return 16 + m.Other.size() }
func (*Beat) Size() int         { return 16 + 8 + 8 + 8 + 4 + 16 + 1 + 1 }
func (*Ack) Size() int          { return 16 + 8 + 8 + 8 }
func (*Epoch) Size() int        { return 1 + epochInfoSize }
func (*Vote) Size() int         { return 16 + 8 + 8 + 1 }
func (*PreVote) Size() int      { return 16 + 8 + 8 + 8 }
func (*PreVoteReply) Size() int { return 16 + 8 + 8 + 1 }
func (*Release) Size() int      { return 16 + 8 + 8 }
func (m *Stale) Size() int      { return 16 + 8 + m.Now.size() }
func (*Leave) Size() int        { return 16 }
func (*Dismiss) Size() int      { return 16 + 1 }
func (*Pull) Size() int         { return 16 + 8 + 8 }
func (m *Page) Size() int {
	n := pageFixed
	for _, e := range m.Entries {
		n += e.Size()
	}
	return n
}

const pageFixed = 16 + 8 + 8 + 2
