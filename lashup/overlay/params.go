package overlay

import "time"

// Params are the numbers and times of the overlay. Zero fields mean the default.
type Params struct {
	Active    int           // neighbours at most (6)
	Passive   int           // passive nodes at most (30)
	Walk      int           // hops of a ForwardJoin, and of a Shuffle (ARWL: 6)
	Mention   int           // hops left when a ForwardJoin's node is noted as passive (PRWL: 3)
	Shuffle   time.Duration // the mean time between two shuffles (20 s, ±50%)
	JoinRate  float64       // joins a second that this node takes (10)
	JoinBurst int           // at once (10)
}

func (p Params) withDefaults() Params {
	def := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	def(&p.Active, 6)
	def(&p.Passive, 30)
	def(&p.Walk, 6)
	def(&p.Mention, 3)
	def(&p.JoinBurst, 10)
	if p.Shuffle == 0 {
		p.Shuffle = 20 * time.Second
	}
	if p.JoinRate == 0 {
		p.JoinRate = 10
	}
	return p
}
