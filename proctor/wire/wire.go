// Package wire translates between proctor's Go types and the messages of
// protos/proctor. Decoders take bytes from outside: they check names and
// lengths and return an error of kind Invalid, never panic.
package wire

import (
	"strings"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/proctor/rollout"
	pb "fulcrum.example/protos/proctor"
)

// maxUnits bounds what one node may be told to run, and maxText what it may say
// of each.
const (
	maxUnits = 4096
	maxText  = 1000
)

// Report is a dean's word on its node, whole each time.
type Report struct {
	Node     crux.NodeID
	Accepted crux.Revision
	Wanted   []crux.Unit
	Units    []crux.UnitStatus
	Intents  map[string]uint64 // newest version that the node's reeve has, by HORDE/API
}

// UnitTo writes a unit.
func UnitTo(u crux.Unit) *pb.Unit {
	m := &pb.Unit{Horde: string(u.Horde), Api: string(u.API), Inst: string(u.Inst), Kind: string(u.Kind), Func: u.Func}
	if !u.Checksum.IsZero() {
		m.Checksum = u.Checksum[:]
	}
	return m
}

// UnitFrom reads a unit.
func UnitFrom(m *pb.Unit) (crux.Unit, error) {
	const op = "decode unit"
	horde, err := crux.ParseHorde(m.GetHorde())
	if err != nil {
		return crux.Unit{}, crux.Wrap(op, err)
	}
	inst, err := crux.ParseInst(m.GetInst())
	if err != nil {
		return crux.Unit{}, crux.Wrap(op, err)
	}
	u := crux.Unit{Horde: horde, API: crux.API(m.GetApi()), Inst: inst, Kind: crux.UnitKind(m.GetKind()), Func: m.GetFunc()}
	switch n := copy(u.Checksum[:], m.GetChecksum()); {
	case n != len(m.GetChecksum()) || n != 0 && n != len(u.Checksum):
		return crux.Unit{}, crux.Errorf(op, crux.Invalid, "%s has a checksum of %d bytes", inst, len(m.GetChecksum()))
	case u.API != inst.API():
		return crux.Unit{}, crux.Errorf(op, crux.Invalid, "%s is no instance of %q", inst, m.GetApi())
	case len(u.Func) > maxText:
		return crux.Unit{}, crux.Errorf(op, crux.Invalid, "%s has a function name of %d bytes", inst, len(u.Func))
	}
	return u, nil
}

func unitsTo(units []crux.Unit) []*pb.Unit {
	out := make([]*pb.Unit, len(units))
	for i, u := range units {
		out[i] = UnitTo(u)
	}
	return out
}

func unitsFrom(ms []*pb.Unit) ([]crux.Unit, error) {
	if len(ms) > maxUnits {
		return nil, crux.Errorf("decode units", crux.Invalid, "%d units for one node: at most %d", len(ms), maxUnits)
	}
	out := make([]crux.Unit, len(ms))
	for i, m := range ms {
		u, err := UnitFrom(m)
		if err != nil {
			return nil, err
		}
		out[i] = u
	}
	return out, nil
}

// StatusTo writes a unit's status.
func StatusTo(s crux.UnitStatus) *pb.UnitStatus {
	m := &pb.UnitStatus{Unit: UnitTo(s.Unit), State: s.State, Pid: int32(s.PID), Restarts: int32(s.Restarts), Error: clip(s.Error)}
	if !s.Since.IsZero() {
		m.SinceUnixNano = s.Since.UnixNano()
	}
	return m
}

// StatusFrom reads a unit's status.
func StatusFrom(m *pb.UnitStatus) (crux.UnitStatus, error) {
	u, err := UnitFrom(m.GetUnit())
	if err != nil {
		return crux.UnitStatus{}, err
	}
	s := crux.UnitStatus{Unit: u, State: clip(m.GetState()), PID: int(m.GetPid()), Restarts: int(m.GetRestarts()), Error: clip(m.GetError())}
	if n := m.GetSinceUnixNano(); n != 0 {
		s.Since = time.Unix(0, n)
	}
	return s, nil
}

// clip bounds a text for people and makes it UTF-8, as protobuf wants.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut]
}

// ReportTo writes a report.
func ReportTo(r Report) *pb.Report {
	m := &pb.Report{Node: wire.NodeIDTo(r.Node), Accepted: wire.RevisionTo(r.Accepted), Wanted: unitsTo(r.Wanted)}
	for _, s := range r.Units {
		m.Units = append(m.Units, StatusTo(s))
	}
	for name, v := range r.Intents {
		m.Intents = append(m.Intents, &pb.DocVersion{Name: name, Version: v})
	}
	return m
}

// ReportFrom reads a report.
func ReportFrom(m *pb.Report) (r Report, err error) {
	if r.Node, err = wire.NodeIDFrom(m.GetNode()); err != nil {
		return Report{}, err
	}
	if r.Node.IsZero() {
		return Report{}, crux.Errorf("decode report", crux.Invalid, "it names no node")
	}
	if r.Accepted, err = wire.RevisionFrom(m.GetAccepted()); err != nil {
		return Report{}, err
	}
	if r.Wanted, err = unitsFrom(m.GetWanted()); err != nil {
		return Report{}, err
	}
	if len(m.GetUnits()) > maxUnits || len(m.GetIntents()) > maxUnits {
		return Report{}, crux.Errorf("decode report", crux.Invalid, "%d units, %d intents: at most %d",
			len(m.GetUnits()), len(m.GetIntents()), maxUnits)
	}
	for _, u := range m.GetUnits() {
		s, err := StatusFrom(u)
		if err != nil {
			return Report{}, err
		}
		r.Units = append(r.Units, s)
	}
	r.Intents = make(map[string]uint64, len(m.GetIntents()))
	for _, d := range m.GetIntents() {
		r.Intents[d.GetName()] = d.GetVersion()
	}
	return r, nil
}

// AssignmentTo writes a node's list.
func AssignmentTo(rev crux.Revision, units []crux.Unit) *pb.Assignment {
	return &pb.Assignment{Revision: wire.RevisionTo(rev), Units: unitsTo(units)}
}

// AssignmentFrom reads a node's list. An instance listed twice is Invalid.
func AssignmentFrom(m *pb.Assignment) (crux.Revision, []crux.Unit, error) {
	rev, err := wire.RevisionFrom(m.GetRevision())
	if err != nil {
		return rev, nil, err
	}
	units, err := unitsFrom(m.GetUnits())
	if err != nil {
		return rev, nil, err
	}
	seen := make(map[crux.UnitKey]bool, len(units))
	for _, u := range units {
		if seen[u.Key()] {
			return rev, nil, crux.Errorf("decode list", crux.Invalid, "%s is listed twice", u.Inst)
		}
		seen[u.Key()] = true
	}
	return rev, units, nil
}

// ProgressTo writes how far an intent is.
func ProgressTo(p rollout.Progress) *pb.ProgressReply {
	m := &pb.ProgressReply{
		Inst: string(p.Inst), Wanted: int32(p.Wanted), Placed: int32(p.Placed), Serving: int32(p.Serving),
		Old: int32(p.Old), Done: p.Done, Note: p.Note,
	}
	for _, w := range p.Waiting {
		m.Waiting = append(m.Waiting, &pb.Waiting{Node: wire.NodeIDTo(w.Node), Why: clip(w.Why)})
	}
	return m
}

// ProgressFrom reads how far an intent of api is.
func ProgressFrom(horde crux.Horde, api crux.API, m *pb.ProgressReply) (rollout.Progress, error) {
	p := rollout.Progress{
		Horde: horde, API: api, Inst: crux.Inst(m.GetInst()), Wanted: int(m.GetWanted()), Placed: int(m.GetPlaced()),
		Serving: int(m.GetServing()), Old: int(m.GetOld()), Done: m.GetDone(), Note: clip(m.GetNote()),
	}
	for _, w := range m.GetWaiting() {
		id, err := wire.NodeIDFrom(w.GetNode())
		if err != nil {
			return p, err
		}
		p.Waiting = append(p.Waiting, rollout.Waiting{Node: id, Why: clip(w.GetWhy())})
	}
	return p, nil
}
