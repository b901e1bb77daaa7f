package sim

import "time"

// Script is a scenario file, parsed. It says what there is, what happens when,
// and what must hold:
//
//	# comment
//	nodes 10                  n1 … n10; or names: nodes M1-M3,A1-A5
//	contacts n1-n3            whom each node knows at first (the first three)
//	masters M1-M3             who is marked a master (nobody)
//	absent n9                 who is not started with the others
//	loss 1%                   of all packets (1%)
//	delay 1ms                 one way is uniform in 0.2 to 1.2 of it (1ms)
//	spread 1s                 the starts are spread over so long (1s)
//	formed                    begin in the middle: all up, the overlay whole
//	at T ACTION               do something at a time after the beginning
//	by T CONDITION            it comes true between the line above and T
//	from T to U CONDITION     it is true from T to U
//	always CONDITION          it is true from beginning to end
//	repeat K from T every D [pick X of WHO]
//	  …                       lines as above, K times, whose times count from T,
//	end                       T+D, …; X is one of WHO by lot, another each time
//
// Actions:
//
//	start WHO, restart WHO    a new process
//	replace WHO               the same on an empty disk
//	kill WHO                  the host dies, in silence
//	crash WHO                 the process ends; its kernel closes its streams
//	hang WHO, resume WHO      SIGSTOP and SIGCONT
//	leave WHO, evict WHO      lashup ends in order; the flock has them no more
//	move WHO WHO              stop the first, and start it at the address of the second, which ends
//	cut WHO > WHO             what the first send to the others is lost
//	cut WHO | WHO             both ways; mend WHO > WHO, mend WHO | WHO: no more
//	split WHO | WHO …         partition; who is not named stays with the first
//	heal                      no cuts, partitions and lossy nodes any more
//	lossy WHO P%              of all that they send and get
//	publish NAME by WHO [to WHO] [fanout K]
//	incr KEY by WHO           add one to a counter (own/KEY: each its own; shared/KEY)
//	check WHO WHO             the first ask after the others
//
// Conditions. "not" means that it holds of none of those who are named. WHO at the
// end of the first four limits who is asked; else those asked are all that run:
//
//	up WHO [at WHO]           their tables show them reachable
//	down WHO [as WHY] [at WHO]    unreachable; WHY: dead, hung, left, …
//	got NAME [at WHO]         the message was delivered, once
//	total KEY N [at WHO]      the counter's value
//	components K              the tables divide those that run into K parts
//	overlay                   the links of those that run connect them all
//	isolated WHO              they say that they are cut off
//	checked WHO WHO STATE     the answer to the latest check: alive, dead, hung, asymmetric, …
//	cut WHO WHO WHY           the first say why they cannot reach the second
//
// WHO is names with commas between them, ranges as n4-n7, all, or X of a repeat.
// "!" before a WHO means all others.
type Script struct {
	Names    []string // of the nodes
	Contacts set
	Masters  set
	Absent   set
	Loss     float64
	Delay    time.Duration
	Spread   time.Duration
	Formed   bool
	Steps    []step // in the file's order
	Picks    []pick
}

// set is what a WHO stands for.
type set struct {
	nodes []int // indices of Names
	pick  int   // index of Picks plus one, if it is one that is drawn by lot
	not   bool  // all others
}

// pick is a node that is drawn by lot.
type pick struct {
	from  []int
	round int // of its repeat
}

type stepKind uint8

const (
	stepAt stepKind = iota + 1
	stepBy
	stepFrom
)

// step is a line of the file.
type step struct {
	line      int
	text      string
	kind      stepKind
	at, until time.Duration // by, from: begin and end
	do        action
	cond      condition
}

// action is what happens. Which fields it has depends on the verb.
type action struct {
	verb   string
	who    set
	whom   set
	both   bool // cut, mend: both ways
	groups []set
	part   float64
	name   string
	count  int
}

// condition is what must hold.
type condition struct {
	what string
	not  bool
	who  set
	whom set  // checked, cut
	at   *set // whom to ask; nil: all but who
	word string
	n    int
}
