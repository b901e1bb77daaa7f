// Command probe is an artifact for tests: it dials its node's socket, says what
// it sees of itself, and then does what it is told, a line at a time.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Facts is what the process sees of itself.
type Facts struct {
	Args, Env   []string
	Dir, Token  string
	Descriptors map[string]string
	Status      string
	SID, PID    int
	Umask       int
	Core, Files uint64
	Append      bool
}

func main() {
	f := facts()
	c, err := net.Dial("unix", os.Getenv("FULCRUM_SOCKET"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(9)
	}
	if err := json.NewEncoder(c).Encode(f); err != nil {
		os.Exit(9)
	}
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		answer := "ok"
		if err := do(strings.Fields(lines.Text())); err != nil {
			answer = err.Error()
		}
		fmt.Fprintln(c, answer)
	}
}

func do(words []string) error {
	arg := append(words, "")[1]
	switch words[0] {
	case "exit":
		code, err := strconv.Atoi(arg)
		if err == nil {
			os.Exit(code)
		}
		return err
	case "log":
		_, err := fmt.Println(arg)
		return err
	case "read":
		_, err := os.ReadFile(arg)
		return err
	case "list":
		_, err := os.ReadDir(arg)
		return err
	case "write":
		return os.WriteFile(arg, []byte("#!/bin/sh\nexit 0\n"), 0o700)
	case "rename":
		return os.Rename(arg, words[2])
	case "run":
		return exec.Command(arg).Run()
	case "signal":
		pid, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		return syscall.Kill(pid, 0)
	case "tcp":
		return tcp()
	}
	return fmt.Errorf("what is %q?", words[0])
}

// tcp serves and calls itself.
func tcp() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	return c.Close()
}

func facts() Facts {
	f := Facts{Args: os.Args, Env: os.Environ(), PID: os.Getpid(), Descriptors: make(map[string]string)}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		// What this process opened by itself is closed on exec; what it was given is not.
		fd, _ := strconv.Atoi(e.Name())
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if errno == 0 && flags&syscall.FD_CLOEXEC == 0 {
			f.Descriptors[e.Name()], _ = os.Readlink("/proc/self/fd/" + e.Name())
		}
	}
	token, err := io.ReadAll(os.NewFile(3, "token"))
	if err != nil {
		panic(err)
	}
	f.Token = string(token)
	f.Dir, _ = os.Getwd()
	status, _ := os.ReadFile("/proc/self/status")
	f.Status = string(status)
	sid, _, _ := syscall.Syscall(syscall.SYS_GETSID, 0, 0, 0)
	f.SID = int(sid)
	f.Umask = syscall.Umask(0)
	syscall.Umask(f.Umask)
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_CORE, &l) == nil {
		f.Core = l.Max
	}
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		f.Files = l.Max
	}
	flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, 1, syscall.F_GETFL, 0)
	f.Append = flags&syscall.O_APPEND != 0
	return f
}
