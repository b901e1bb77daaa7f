package fabric

import (
	"time"

	"fulcrum.example/crux"
)

// RTT is the latest round trip to a node that is pinged; false: it is not, or has
// not answered yet.
func (m *Machine) RTT(id crux.NodeID) (time.Duration, bool) { return m.detect.RTT(id) }
