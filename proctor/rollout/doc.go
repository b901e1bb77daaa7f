// Package rollout thinks for proctor: from what should be (intents and the
// muster) and what is (nodes, what they were told to run, what serves) it
// computes what each node should run next, and how far each intent is.
//
// Rules: a replica stays where it is; new ones go to distinct nodes, first
// where another version of the API runs, then to the least loaded, the leader's
// node first among equals. New beside old: an old version is withdrawn only
// when as many new replicas serve as are wanted, or as there are old ones, if
// those are fewer. A node that is away keeps its replicas on paper until the
// caller says that it is gone. An API without a known intent is left as it is.
//
// Plan is pure and deterministic: equal inputs give equal outputs, and its own
// output, fed back, changes nothing.
package rollout
