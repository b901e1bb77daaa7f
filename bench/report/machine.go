package report

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Machine is where and with what a run was made. It names neither the machine
// nor its user.
type Machine struct {
	CPU     string   `json:"cpu"`
	Cores   int      `json:"cores"` // that Go uses
	Memory  string   `json:"memory"`
	Kernel  string   `json:"kernel"`
	Go      string   `json:"go"`
	Date    string   `json:"date"`
	Load    string   `json:"load"` // average of 1, 5 and 15 minutes, at the start
	Modules []string `json:"modules"`
	// Nice is the value of the scheduling group of the run, if it is not 0: the
	// run had precedence over what else the machine was busy with.
	Nice int `json:"nice,omitempty"`
}

// peers are the modules whose versions the report names.
var peers = []string{"github.com/hashicorp/memberlist", "google.golang.org/grpc"}

// ThisMachine reads what there is to know; what cannot be read is "unknown".
func ThisMachine() Machine {
	m := Machine{
		CPU: "unknown", Cores: runtime.GOMAXPROCS(0), Memory: "unknown", Kernel: read("/proc/sys/kernel/osrelease"),
		Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, Date: time.Now().UTC().Format(time.DateTime) + " UTC", Load: "unknown",
	}
	if f := strings.Fields(read("/proc/loadavg")); len(f) >= 3 {
		m.Load = strings.Join(f[:3], " ")
	}
	if v := value(read("/proc/cpuinfo"), "model name"); v != "" {
		m.CPU = v
	}
	var kib int
	if _, err := fmt.Sscanf(value(read("/proc/meminfo"), "MemTotal"), "%d kB", &kib); err == nil {
		m.Memory = fmt.Sprintf("%.1f GiB", float64(kib)/(1<<20))
	}
	if _, nice, ok := strings.Cut(read("/proc/self/autogroup"), " nice "); ok {
		m.Nice, _ = strconv.Atoi(nice) // 0 where it is no number
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if slices.Contains(peers, d.Path) {
				m.Modules = append(m.Modules, d.Path+" "+d.Version)
			}
		}
	}
	return m
}

func (m *Machine) fields() [][2]string {
	load := m.Load
	if m.Nice != 0 {
		load += fmt.Sprintf(", the run's own scheduling group at nice %d", m.Nice)
	}
	return [][2]string{
		{"machine", fmt.Sprintf("%s, %d cores, %s, Linux %s", m.CPU, m.Cores, m.Memory, m.Kernel)},
		{"date", m.Date}, {"Go", m.Go}, {"load average at the start", load}, {"peers", strings.Join(m.Modules, ", ")},
	}
}

func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

// value finds "name : value" in the files of /proc.
func value(text, name string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
