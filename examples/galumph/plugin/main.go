// Command plugin is galumph as a Go plugin. Build it by its file's name, so
// that a second version can be loaded beside it:
//
//	go build -buildmode=plugin -o galumph.so ./examples/galumph/plugin/main.go
package main

import (
	"fulcrum.example/crux"
	"fulcrum.example/examples/galumph"
)

// Galumph2_3 is what the plugin host looks up for galumph2_3.
func Galumph2_3(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	galumph.Galumph2_3(quit, alive, network)
}

// Galumph2_4 is what the plugin host looks up for galumph2_4.
func Galumph2_4(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node) {
	galumph.Galumph2_4(quit, alive, network)
}

func main() {}
