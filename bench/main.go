// Command bench measures fulcrum beside its peers, in one run on one machine,
// and writes one report as Markdown and as JSON.
//
//	go run . [-only join,death,fabric,rpc,registry,artifact,sim] [-rounds 3] [-out ../docs/bench.md]
//
// Times count as ratios: what is compared is measured in turns in the same
// process, the order changes with each round, and the figure is the median of
// the rounds. Virtual-time figures and counts are exact. Nothing leaves the
// loopback net.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"

	"fulcrum.example/bench/report"
)

func main() {
	only := flag.String("only", "", "benchmarks to run, separated by commas; empty: all of "+strings.Join(names(), ","))
	rounds := flag.Int("rounds", 3, "how often to measure each")
	out := flag.String("out", "../docs/bench.md", "the report; the JSON goes beside it, as .json")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	chosen, err := choose(*only)
	if err == nil && (*rounds < 1 || flag.NArg() > 0 || !strings.HasSuffix(*out, ".md")) {
		err = errors.New("want -rounds of at least 1, -out that ends in .md, and no other arguments")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	r, err := run(ctx, chosen, *rounds, full, os.Stderr)
	if err = errors.Join(err, write(r, *out)); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one thing to measure.
type bench struct {
	name, title, about string
	// budget bounds all rounds together: one that would not fit any more is
	// left out, and the report says so.
	budget time.Duration
	// round measures once and adds to the section's lines. The number of the
	// round decides on the order.
	round func(ctx context.Context, round int, p sizes, s *report.Section) error
}

// benches are all there are, in the order in which they run.
var benches = []bench{join, death, fabric, calls, registry, artifact, simulation}

// sizes say how much to measure.
type sizes struct {
	join      []int         // nodes
	death     int           // nodes
	settle    time.Duration // between forming and the death
	fabric    int           // nodes
	idle      time.Duration // that they are watched for
	told      int           // updates
	calm      time.Duration // from the join until members hang
	silent    int           // that hang then, one after the other
	dials     int
	calls     int
	load      time.Duration // of calls from many at once, each
	reeves    int
	updates   int
	rows      int
	artifact  int // bytes
	caches    int
	simulated []int // nodes
}

var full = sizes{
	join: []int{20, 50, 100}, death: 50, settle: 2 * time.Second,
	fabric: 40, idle: 4 * time.Second, told: 100, calm: 25 * time.Second, silent: 3,
	dials: 150, calls: 3000, load: 2 * time.Second,
	reeves: 20, updates: 5, rows: 10_000,
	artifact: 20 << 20, caches: 10,
	simulated: []int{500, 1000},
}

func names() (out []string) {
	for _, b := range benches {
		out = append(out, b.name)
	}
	return out
}

// choose reads the -only flag.
func choose(only string) ([]bench, error) {
	if only == "" {
		return benches, nil
	}
	var out []bench
	for name := range strings.SplitSeq(only, ",") {
		i := slices.Index(names(), name)
		if i < 0 {
			return nil, fmt.Errorf("there is no benchmark %q; there are %s", name, strings.Join(names(), ", "))
		}
		out = append(out, benches[i])
	}
	return out, nil
}

// run measures, and tells on progress how far it is. The report is there after
// an error too: it says what failed.
func run(ctx context.Context, chosen []bench, rounds int, p sizes, progress io.Writer) (*report.Report, error) {
	start := time.Now()
	r := &report.Report{Machine: report.ThisMachine(), Rounds: rounds}
	var errs []error
	for _, b := range chosen {
		s := &report.Section{Name: b.title, About: b.about}
		r.Sections = append(r.Sections, s)
		if err := b.run(ctx, rounds, p, s, progress); err != nil {
			s.Error = err.Error()
			errs = append(errs, fmt.Errorf("%s: %w", b.name, err))
		}
	}
	r.Took = time.Since(start).Seconds()
	return r, errors.Join(errs...)
}

func (b *bench) run(ctx context.Context, rounds int, p sizes, s *report.Section, progress io.Writer) error {
	start, last := time.Now(), time.Duration(0)
	defer func() { s.Took = time.Since(start).Seconds() }()
	for i := range rounds {
		if i > 0 && time.Since(start)+last > b.budget {
			break
		}
		begun := time.Now()
		runtime.GC() // what the round before left is not this one's to pay for
		if err := b.round(ctx, i, p, s); err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
		s.Rounds, last = i+1, time.Since(begun)
		fmt.Fprintf(progress, "%s: round %d of %d, %.1f s\n", b.name, i+1, rounds, last.Seconds())
	}
	return nil
}

// write puts the report and its JSON where they belong.
func write(r *report.Report, path string) error {
	var md, js strings.Builder
	if err := errors.Join(r.Markdown(&md), r.JSON(&js)); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(path, []byte(md.String()), 0o644),
		os.WriteFile(strings.TrimSuffix(path, ".md")+".json", []byte(js.String()), 0o644))
}
