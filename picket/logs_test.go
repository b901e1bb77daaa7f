package picket_test

import (
	"os"
	"strings"
	"testing"

	"fulcrum.example/crux"
)

func TestErrorSaysWhatTheServiceSaidLast(t *testing.T) {
	t.Parallel()
	_, p := open(t, nil)
	// What an earlier run said is not this one's word.
	log := p.Logs(crux.UnitKey{Horde: crux.DefaultHorde, Inst: "galumph2_3"})
	if err := os.WriteFile(log, []byte("galumph2_3: of an earlier run\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, p, unit("galumph2_3", "nonsense"))
	start(t, p, unit("galumph2_4", "panics"))
	start(t, p, unit("galumph2_5", "silent"))
	for inst, want := range map[crux.Inst]string{
		"galumph2_3": `it ended: exit status 1; it said: find function: no function "nonsense" in this artifact; it has `,
		"galumph2_4": "it ended: exit status 2; it said: panic: as asked",
		"galumph2_5": "it ended: exit status 4",
	} {
		until(t, string(inst)+" tells why", func() bool { return status(p, inst).Error != "" })
		got := status(p, inst).Error
		if !strings.HasPrefix(got, want) || strings.ContainsAny(got, "\n\x1b") || len(got) > 600 {
			t.Errorf("%s: %q, want %q", inst, got, want)
		}
	}
}
