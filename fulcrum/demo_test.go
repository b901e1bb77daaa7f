package main

import (
	"encoding/json"
	"regexp"
	"testing"

	"fulcrum.example/fulcrum/demo"
)

// TestDemo runs the demo as CI and its readers do.
func TestDemo(t *testing.T) {
	whole(t)
	c := cli{t: t, env: []string{"TMPDIR=" + devTemp(t)}}
	out, errs, exit := c.run("demo", "--json", "--source", "..", "--net", testNet().String())
	if exit != 0 {
		t.Fatalf("exit status %d\n%s%s", exit, errs, out)
	}
	var sum demo.Summary
	if err := json.Unmarshal([]byte(out), &sum); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if !sum.OK || sum.Nodes != 5 || sum.Calls < 10_000 || sum.Failed != 0 || len(sum.Steps) < 8 {
		t.Errorf("summary: %+v", sum)
	}
	if sum.ReadyS <= 0 || sum.RolloutS <= 0 || sum.FailoverS <= 0 {
		t.Errorf("nothing takes no time: %+v", sum)
	}
	for _, s := range sum.Steps {
		if !s.OK || s.Name == "" {
			t.Errorf("step %+v", s)
		}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(out), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ok", "nodes", "ready_s", "calls", "failed", "in_flight_lost", "rollout_s", "failover_s", "steps"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("the summary has no %s: %s", name, out)
		}
	}
}

// TestDemoNamesTheStepThatFailed, and ends with status 1.
func TestDemoNamesTheStepThatFailed(t *testing.T) {
	whole(t)
	c := cli{t: t, env: []string{"TMPDIR=" + devTemp(t)}}
	out, errs, exit := c.run("demo", "--json", "--source", "..", "--net", testNet().String(), "--store", "s3://nowhere/x", "--s3-endpoint", "not a URL")
	var sum demo.Summary
	if err := json.Unmarshal([]byte(out), &sum); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if exit != 1 || sum.OK || len(sum.Steps) == 0 || sum.Steps[len(sum.Steps)-1].OK {
		t.Errorf("exit status %d, summary %+v\n%s", exit, sum, errs)
	}
	// All five end for the same reason; whichever is seen first is named.
	if !regexp.MustCompile(`step 2, .*: node[1-5]: it has ended: open artifact store: `).MatchString(errs) {
		t.Errorf("what failed is not said: %s", errs)
	}
}
