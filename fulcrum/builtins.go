package main

import (
	"fulcrum.example/crux"
	"fulcrum.example/lashup"
)

// children are the built-ins that run in processes of their own.
var children = []crux.Inst{"lashup1_0"}

// childFunctions are the functions of children.
var childFunctions = map[string]crux.Service{"Lashup1_0": lashup.Lashup1_0}
