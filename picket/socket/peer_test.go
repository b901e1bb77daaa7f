package socket

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"fulcrum.example/crux"
)

// A fulcrum that has no_new_privs itself cannot go by that mark.
func TestServicesAreKnownByParentsAndSession(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("/bin/sh", "-c", "sleep 60 & echo $!; wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // killed: an error, as wanted
	defer syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	sleep, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	s := services{pids: func() []int { return []int{cmd.Process.Pid} }}
	for pid, want := range map[int]bool{cmd.Process.Pid: true, sleep: true, os.Getpid(): false, os.Getppid(): false, 0: false} {
		if err := s.refuse(pid); (err != nil) != want || err != nil && crux.KindOf(err) != crux.Denied {
			t.Errorf("process %d: %v", pid, err)
		}
	}
	if err := s.refuse(1 << 30); crux.KindOf(err) != crux.Denied {
		t.Errorf("a process that is gone: %v", err)
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]status{
		"Name:\tx\nPPid:\t7\nNoNewPrivs:\t1\n":                       {7, true},
		"Name:\tNoNewPrivs: 0\\nPPid: 1\nPPid:\t7\nNoNewPrivs:\t1\n": {7, true},
		"Name:\tx\nPPid:\t1\nNoNewPrivs:\t0\n":                       {1, false},
	} {
		if got, err := parseStatus([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "PPid:\t7\n", "PPid:\tx\nNoNewPrivs:\t1\n"} {
		if got, err := parseStatus([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}
