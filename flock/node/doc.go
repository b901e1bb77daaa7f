// Package node drives the flock protocol of one node: it is crux.Flock over
// real (or any other) crux.Confab.
//
// One goroutine owns the pure machine (package flock) and all keys that only two
// nodes share; another reads the socket, and opens, decodes and checks what is
// sealed under keys that many hold, so that what strangers can cause never
// delays the machine for long. Nothing is decoded before it is authenticated;
// what is not is counted, dropped, and never answered.
//
// LoadIdentity and LoadSecret read what a node is and what it shares with its
// bloc from files that nobody else may read.
//
// The composition opens a Node; everybody else sees it as crux.Flock or
// crux.Members. All methods may be called from any goroutine.
package node
