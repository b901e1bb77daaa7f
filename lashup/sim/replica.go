package sim

func (nd *Node) incr(string)          {}
func (nd *Node) total(string) int64   { return 0 }
func (s *Script) needsReplicas() bool { return false }
