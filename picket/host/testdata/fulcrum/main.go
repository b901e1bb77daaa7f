// Command fulcrum is the smallest fulcrum that can start plugins: the two
// stages of a child, as the real one has them. A test binary cannot stand in:
// it is not built as plugins' hosts are.
package main

import (
	"os"

	"fulcrum.example/picket/host"
	"fulcrum.example/picket/run"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case run.LaunchCommand:
			run.LaunchMain(os.Args[2:])
		case host.Command:
			host.Main(os.Args[2:])
		}
	}
	os.Exit(2)
}
