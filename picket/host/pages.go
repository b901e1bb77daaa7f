package host

import (
	"debug/elf"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
)

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
