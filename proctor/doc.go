// Package proctor places services: with the leader of the flock it turns
// intents ("3 of galumph2_4"), the muster and the members into a list for each
// node (proctor/rollout does the thinking), and hands each node's dean its list.
//
// There is a Proctor on every node; only the one whose node leads acts. It
// keeps nothing on disk: a new one learns from the deans what each node runs,
// from the registry what serves, and from the node's reeve what is intended,
// and waits until it has heard enough before it changes anything. It can
// withhold, never invent: dean checks every unit against signed documents.
// While no leader acts nothing changes: nodes go on with the list they have.
package proctor
