package boot

import (
	"slices"
	"testing"

	"fulcrum.example/crux"
)

func TestNewerVersionsOverlayABuiltinChild(t *testing.T) {
	own := childUnit("lashup1_1")
	unit := func(inst crux.Inst, kind crux.UnitKind, state string) crux.UnitStatus {
		return crux.UnitStatus{Unit: crux.Unit{Horde: crux.DefaultHorde, API: inst.API(), Inst: inst, Kind: kind}, State: state}
	}
	mine := func(state string) crux.UnitStatus { return unit("lashup1_1", crux.BuiltinChild, state) }
	elsewhere := unit("lashup1_2", crux.Executable, "serving")
	elsewhere.Horde = "web"
	for _, c := range []struct {
		name  string
		units []crux.UnitStatus
		start bool
		stop  []crux.Inst
	}{
		{"nothing runs", nil, true, nil},
		{"it runs", []crux.UnitStatus{mine("serving")}, false, nil},
		{"it is on its way", []crux.UnitStatus{mine("backoff")}, false, nil},
		{"a newer one begins", []crux.UnitStatus{mine("serving"), unit("lashup1_2", crux.Executable, "starting")}, false, nil},
		{"a newer one serves", []crux.UnitStatus{mine("serving"), unit("lashup1_2", crux.Executable, "serving")}, false, []crux.Inst{"lashup1_1"}},
		{"numbers are numbers", []crux.UnitStatus{mine("serving"), unit("lashup1_10", crux.Plugin, "serving")}, false, []crux.Inst{"lashup1_1"}},
		{"it has been replaced", []crux.UnitStatus{unit("lashup1_2", crux.Executable, "serving")}, false, nil},
		{"the newer one goes", []crux.UnitStatus{unit("lashup1_2", crux.Executable, "draining")}, true, nil},
		{"the newer one fails", []crux.UnitStatus{unit("lashup1_2", crux.Executable, "backoff")}, true, nil},
		{"an upgraded fulcrum, not ready", []crux.UnitStatus{unit("lashup1_0", crux.BuiltinChild, "serving"), mine("starting")}, false, nil},
		{"an upgraded fulcrum", []crux.UnitStatus{unit("lashup1_0", crux.BuiltinChild, "serving"), mine("serving")}, false, []crux.Inst{"lashup1_0"}},
		{"an older artifact is somebody's wish", []crux.UnitStatus{unit("lashup1_0", crux.Executable, "serving"), mine("serving")}, false, nil},
		{"another horde", []crux.UnitStatus{mine("serving"), elsewhere}, false, nil},
		{"another service", []crux.UnitStatus{mine("serving"), unit("galumph2_3", crux.Executable, "serving")}, false, nil},
	} {
		start, stop := overlay(c.units, own)
		var insts []crux.Inst
		for _, k := range stop {
			insts = append(insts, k.Inst)
		}
		if start != c.start || !slices.Equal(insts, c.stop) {
			t.Errorf("%s: start %v, stop %v; want %v, %v", c.name, start, insts, c.start, c.stop)
		}
	}
}
