package sim

import (
	"flag"
	"testing"
)

var (
	seeds = flag.Int("seeds", 0, "run the tests over seeds with this many, from 1 on; 0: a few")
	large = flag.Bool("large", false, "run those of 1,000 nodes and more, and of an hour, too")
)

// seedCount is how many seeds a test runs that by itself runs a few.
func seedCount(few int) int {
	if *seeds > 0 {
		return *seeds
	}
	if testing.Short() {
		return 1
	}
	return few
}
