package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

const defaultFiles = 65536

// What every program may read. Of /etc only what resolves names, checks
// certificates, tells the time and links programs: where fulcrum runs as root,
// the rest has passwords and keys in it. A file that is replaced while a service
// runs (resolv.conf) is out of its reach until it is started again.
var (
	systemDirs = []string{
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/proc",
		"/etc/alternatives", "/etc/ca-certificates", "/etc/ld.so.conf.d", "/etc/pki", "/etc/ssl/certs",
		// Go and C runtimes learn from these how many processors they may use.
		"/sys/fs/cgroup", "/sys/devices/system/cpu", "/sys/kernel/mm/transparent_hugepage",
	}
	systemFiles = []string{
		"/etc/ca-certificates.conf", "/etc/gai.conf", "/etc/group", "/etc/host.conf", "/etc/hostname", "/etc/hosts",
		"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.preload", "/etc/localtime", "/etc/mime.types",
		"/etc/nsswitch.conf", "/etc/os-release", "/etc/passwd", "/etc/protocols", "/etc/resolv.conf",
		"/etc/services", "/etc/ssl/openssl.cnf", "/etc/timezone",
	}
	systemDevices = []string{"/dev/null", "/dev/zero", "/dev/full"}
	systemSources = []string{"/dev/urandom", "/dev/random"}
)

const (
	landRead  = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir)
	landWrite = landlock.AccessFSSet(ll.AccessFSWriteFile | ll.AccessFSTruncate |
		ll.AccessFSRemoveDir | ll.AccessFSRemoveFile | ll.AccessFSMakeDir | ll.AccessFSMakeReg |
		ll.AccessFSMakeSock | ll.AccessFSMakeFifo | ll.AccessFSMakeSym)
)

// Confinement says in one sentence what this kernel can confine.
func Confinement() string {
	const always = "services run without new privileges, with limits and an environment of their own"
	abi, err := ll.LandlockGetABIVersion()
	switch {
	case err != nil || abi < 1:
		return always + "; this kernel has no Landlock, so they can reach every file that fulcrum can"
	case abi < 6:
		return fmt.Sprintf("%s; Landlock ABI %d keeps them to the system's files and their own folder, but not from signalling fulcrum's processes", always, abi)
	case abi < 9:
		return fmt.Sprintf("%s; Landlock ABI %d keeps them to the system's files and their own folder, and from signalling others, but not from named sockets", always, abi)
	}
	return fmt.Sprintf("%s; Landlock ABI %d keeps them to the system's files, their own folder and socket, and from signalling others", always, abi)
}

// confine narrows this process, for good, to what order allows. self is true
// when it will execute its own binary once more.
func confine(o order, self bool) error {
	const op = "confine"
	syscall.Umask(0o077)
	nice := serviceNice
	if o.Builtin {
		nice = builtinNice
	}
	if err := settle(nice); err != nil {
		return crux.Errorf(op, crux.NotSupported, "priority: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return crux.Errorf(op, crux.NotSupported, "no_new_privs: %w", err)
	}
	if err := limit(o.Limits); err != nil {
		return crux.Wrap(op, err)
	}
	if err := restrict(o, self); err != nil {
		return crux.Errorf(op, crux.NotSupported, "landlock: %w", err)
	}
	if err := dropCapabilities(); err != nil {
		return crux.Errorf(op, crux.NotSupported, "capabilities: %w", err)
	}
	return nil
}

// dropCapabilities leaves a fulcrum that runs as root nothing to pass on but
// the right to listen on low ports: with the others, a service could read the
// environment of fulcrum's processes or change the machine's network. Under
// no_new_privs, exec cannot bring them back. It comes last, since the steps
// before may need them.
func dropCapabilities() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // 64 bits in two halves
	if err := unix.Capget(&head, &data[0]); err != nil {
		return err
	}
	keep := data[0].Permitted & (1 << unix.CAP_NET_BIND_SERVICE)
	data = [2]unix.CapUserData{{Effective: keep, Permitted: keep}}
	return unix.Capset(&head, &data[0])
}

// limit sets resource limits, soft and hard.
func limit(l Limits) error {
	if err := syscall.Setrlimit(unix.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("core file limit: %w", err)
	}
	files := l.Files
	if files == 0 {
		var have syscall.Rlimit
		if err := syscall.Getrlimit(unix.RLIMIT_NOFILE, &have); err != nil {
			return fmt.Errorf("open file limit: %w", err)
		}
		files = min(defaultFiles, have.Max)
	}
	// syscall's Setrlimit, not x/sys': it also keeps syscall.Exec from putting
	// the limit back that was there when this process started.
	if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: files, Max: files}); err != nil {
		return crux.Errorf("", crux.Invalid, "open file limit %d: %w; ask for less", files, err)
	}
	if m := l.Memory; m > 0 {
		if err := syscall.Setrlimit(unix.RLIMIT_DATA, &syscall.Rlimit{Cur: m, Max: m}); err != nil {
			return fmt.Errorf("memory limit %d: %w", m, err)
		}
	}
	return nil
}

// restrict applies Landlock, as far as the kernel has it. The sealed artifact
// needs no rule: Landlock lets pass what lies in no mounted file system.
func restrict(o order, self bool) error {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		return nil // Confinement has said so
	}
	config := landlock.Config{HandledAccessFS: landlock.V9.HandledAccessFS, Scoped: landlock.V9.Scoped}.BestEffort()
	dirs := systemDirs
	if real, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil && filepath.Dir(real) != "/etc" {
		dirs = append(dirs[:len(dirs):len(dirs)], filepath.Dir(real))
	}
	own := landlock.PathAccess(landRead|landWrite, o.Dir)
	if abi >= 2 { // before, asking for it would switch Landlock off altogether
		own = own.WithRefer()
	}
	rules := []landlock.Rule{
		landlock.RODirs(dirs...).IgnoreIfMissing(),
		landlock.RWFiles(systemDevices...).IgnoreIfMissing(),
		landlock.ROFiles(systemSources...).IgnoreIfMissing(),
		landlock.ROFiles(systemFiles...).IgnoreIfMissing(),
		own,
		landlock.RWFiles(o.Log),
		landlock.PathAccess(landRead|ll.AccessFSResolveUnix, filepath.Dir(o.Socket)),
	}
	if o.Plugin != "" {
		rules = append(rules, landlock.PathAccess(ll.AccessFSReadFile|ll.AccessFSReadDir, filepath.Dir(o.Plugin)))
	}
	if self {
		rules = append(rules, landlock.ROFiles("/proc/self/exe"))
	}
	return config.Restrict(rules...)
}

// closeFrom marks every descriptor from first on to be closed by exec: fulcrum
// itself may have inherited some, which Go passes on.
func closeFrom(first int) error {
	err := unix.CloseRange(uint(first), 1<<31-1, unix.CLOSE_RANGE_CLOEXEC)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
