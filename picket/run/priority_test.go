package run

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// niceOf gives the nice values of all threads of a process.
func niceOf(t *testing.T, pid int) (list []int) {
	t.Helper()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(stats) == 0 {
		t.Fatalf("%v, %d threads", err, len(stats))
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		n, err := strconv.Atoi(string(fields[19-3]))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		list = append(list, n)
	}
	return list
}

// TestServicesGoAfterTheirNode: the node's threads have its priority, and the
// service that it starts an ordinary one.
func TestServicesGoAfterTheirNode(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may take a priority")
	}
	w := newWorld(t, probe)
	node := exec.Command(w.Self, hangCommand)
	node.Env = append(os.Environ(), leadEnv+"=1")
	node.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pid, start := w.startBy(t, node)
	for _, n := range niceOf(t, node.Process.Pid) {
		if n != leaderNice {
			t.Errorf("a thread of the node has the nice value %d", n)
		}
	}
	for _, n := range niceOf(t, pid) {
		if n != serviceNice {
			t.Errorf("a thread of the service has the nice value %d", n)
		}
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/autogroup", node.Process.Pid)); err == nil && !strings.HasSuffix(string(b), fmt.Sprintf("nice %d\n", leaderNice)) {
		t.Errorf("the node's session: %q", b)
	}
	c, err := Adopt(pid, start)
	if err != nil {
		t.Error(err)
	} else {
		defer end(t, c)
	}
	if err := node.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = node.Wait() // it was killed
}
