//go:build !cgo

package main

// pluginsBuilt says whether this binary can host Go plugins.
const pluginsBuilt = false
