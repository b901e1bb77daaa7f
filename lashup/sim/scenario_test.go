package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScenarios plays the files of lashup/testdata, which say what must hold.
// Those whose name begins with "large" are for -large only.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(name, "large") && !*large {
				t.Skip("only with -large")
			}
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			for seed := range seedCount(2) {
				if err := Play(s, uint64(seed+1), nil); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}
