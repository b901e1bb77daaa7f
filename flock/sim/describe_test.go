package sim

import (
	"fmt"
	"strings"
)

// Describe prints every node's state, for failing tests.
func (w *World) Describe() string {
	var b strings.Builder
	for _, nd := range w.Nodes {
		if nd.M == nil {
			fmt.Fprintf(&b, "%3d down\n", nd.Index)
			continue
		}
		fmt.Fprintf(&b, "%3d %s\n", nd.Index, nd.M.Dump())
	}
	return b.String()
}
