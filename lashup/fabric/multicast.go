package fabric

import (
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/lashup/cast"
)

// Publish sends a message to all nodes, or to some: see cast.Request. Errors:
// Invalid, the request is wrong; Exhausted, there is no room for it now.
func (m *Machine) Publish(now time.Duration, req cast.Request) (cast.ID, Ready, error) {
	m.begin(now)
	id, r, err := m.cast.Publish(m.now, req)
	m.multicast(r)
	return id, m.end(), err
}

// SendTo sends a message of the store to a neighbour. It is lost if there is no
// link.
func (m *Machine) SendTo(now time.Duration, peer crux.NodeID, msg Message) Ready {
	m.begin(now)
	m.out.Frames = append(m.out.Frames, Frame{peer, msg})
	return m.end()
}
