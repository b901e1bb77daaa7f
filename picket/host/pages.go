package host

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

// How memory is looked after. A start takes startedAfter; after that, what is not
// used is looked for every lookEvery, and given back if it is more than idleMost, or
// giveBackEvery has passed. A heap up to smallHeap is collected for it: in a larger
// one the runtime sees to that well enough.
const (
	startedAfter  = 10 * time.Second
	lookEvery     = 10 * time.Second
	giveBackEvery = time.Minute
	smallHeap     = 32 << 20
	idleMost      = 4 << 20
)

// startPercent is by how much a heap may grow between two collections in a start, in
// percent of it.
const startPercent = 400

// EaseStart has the collector run seldom while a process starts, or until its heap
// is no longer small: a start makes most of the garbage of a quiet process, in a heap
// of a few megabytes, and to collect it takes a tenth of its time. It returns when
// the start is over or ctx ends, and leaves the collector as it was.
func EaseStart(ctx context.Context) {
	before := debug.SetGCPercent(startPercent)
	defer debug.SetGCPercent(before)
	look := time.NewTicker(startedAfter / 5)
	defer look.Stop()
	for end := time.Now().Add(startedAfter); time.Now().Before(end); {
		if m := memory(); m.HeapInuse > smallHeap {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

func memory() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}

// keepSmall gives memory back now and then, for as long as the process runs.
func keepSmall() {
	EaseStart(context.Background())
	var given time.Time
	for ; ; time.Sleep(lookEvery) {
		m := memory()
		if m.HeapIdle-m.HeapReleased < idleMost && time.Since(given) < giveBackEvery {
			continue
		}
		given = time.Now()
		if m.HeapInuse <= smallHeap {
			debug.FreeOSMemory()
		}
		if err := giveBack(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", BuiltinCommand, err)
			return
		}
	}
}

// giveBack gives the pages of the binary's code and constants back to the kernel.
// They are needed for the start most of all, and what runs on is mapped again as it
// is used, in about a millisecond. They are the file's, and shared by all processes
// of a machine that run it, but each has them counted as its resident memory.
func giveBack() error {
	const op = "give pages back"
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return crux.Wrap(op, err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return crux.Wrap(op, err)
	}
	binary, err := elf.Open("/proc/self/exe")
	if err != nil {
		return crux.Wrap(op, err)
	}
	defer binary.Close()
	for _, x := range unwritten(binary, mappings(string(maps), self)) {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(x.start), uintptr(x.end-x.start), unix.MADV_DONTNEED); errno != 0 {
			return crux.Errorf(op, crux.Unavailable, "%w", errno)
		}
	}
	return nil
}

// mapping is a part of memory into which a file is mapped.
type mapping struct {
	start, end, offset uint64
	mode               string
}

// mappings are those of a file, as /proc/PID/maps lists them.
func mappings(maps, file string) (list []mapping) {
	for line := range strings.Lines(maps) {
		var m mapping
		n, _ := fmt.Sscanf(line, "%x-%x %s %x", &m.start, &m.end, &m.mode, &m.offset)
		if n == 4 && strings.HasSuffix(line, " "+file+"\n") {
			list = append(list, m)
		}
	}
	return list
}

// unwritten are those of a binary's mappings that are never written: not even by
// the dynamic loader, whose tables are made read-only when it has filled them.
func unwritten(f *elf.File, maps []mapping) (list []mapping) {
	if len(maps) == 0 || maps[0].offset != 0 {
		return nil
	}
	page := uint64(os.Getpagesize())
	var at uint64 // where it is loaded, beside where it says
	first := true
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		if first {
			at, first = maps[0].start-p.Vaddr&^(page-1), false
		}
		if p.Flags&elf.PF_W != 0 {
			continue
		}
		start, end := (at+p.Vaddr)&^(page-1), (at+p.Vaddr+p.Memsz+page-1)&^(page-1)
		for _, m := range maps {
			if start <= m.start && m.end <= end && !strings.Contains(m.mode, "w") {
				list = append(list, m)
			}
		}
	}
	return list
}
