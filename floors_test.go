// Package fulcrum_test holds what must be true of the whole tree: which
// package may import which (the floors of ARCHITECTURE.md), that the pure cores
// stay pure, and that every package says what it is.
package fulcrum_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "fulcrum.example"

// floors lists package trees from the most particular to the least: the first
// prefix that fits a package decides its floor.
var floors = []struct {
	prefix string
	floor  int
}{
	{"crux/rpc", 2}, {"crux/wire", 2}, {"crux/disk", 2}, {"crux", 0}, {"protos", 0},
	{"flock/packet", 3}, {"flock/node", 3}, {"flock/sim", 3}, {"flock", 1},
	{"lashup/overlay", 1}, {"lashup/detect", 1}, {"lashup/route", 1}, {"lashup/cast", 1}, {"lashup/fabric", 1},
	{"lashup/crdt", 1}, {"lashup/replica", 1}, {"lashup/codec", 1}, {"lashup/limit", 1},
	{"lashup/packet", 3}, {"lashup/node", 3}, {"lashup/store", 3}, {"lashup/sim", 3}, {"lashup", 4},
	{"minuteman/balance", 1}, {"minuteman/dataplane", 3}, {"minuteman", 4},
	{"proctor/khan", 1}, {"proctor/rollout", 1}, {"proctor", 4},
	{"steward/service", 4}, {"steward", 1},
	{"pastiche/plan", 1}, {"pastiche/store", 3}, {"pastiche/s3", 3}, {"pastiche/dir", 3}, {"pastiche/origin", 3}, {"pastiche/swarm", 3}, {"pastiche", 4},
	{"confab", 2},
	{"picket/run", 3}, {"picket", 4}, {"reeve", 4},
	{"fulcrum", 5},
	{"examples", 6},
}

func floorOf(pkg string) (int, bool) {
	for _, f := range floors {
		if pkg == f.prefix || strings.HasPrefix(pkg, f.prefix+"/") {
			return f.floor, true
		}
	}
	return 0, false
}

// component is the part of the product that a package belongs to.
func component(pkg string) string {
	c, _, _ := strings.Cut(pkg, "/")
	return c
}

// forbidden says why pkg may not import imp (both relative to the module), or "".
func forbidden(pkg, imp string) string {
	pf, _ := floorOf(pkg)
	inf, ok := floorOf(imp)
	switch {
	case !ok:
		return "it is on no floor: add it to the table of floors_test.go and to ARCHITECTURE.md"
	case pkg == imp:
		return ""
	case pf == 6:
		if imp == "crux" || strings.HasPrefix(imp, "crux/rpc") || component(imp) == "protos" || component(imp) == "examples" {
			return ""
		}
		return "examples import only crux, crux/rpc and protos, as a stranger's module would"
	case component(imp) == "fulcrum" && component(pkg) != "fulcrum":
		return "the composition is imported by nobody"
	case inf > pf:
		return fmt.Sprintf("floor %d may not look up to floor %d", pf, inf)
	case pf == 0 && component(imp) == "protos" && component(pkg) == "crux":
		return "crux imports nothing of the project but itself"
	case inf == pf && component(pkg) != component(imp):
		return fmt.Sprintf("on one floor (%d) a component may not reach into another: talk through its interface or its gRPC", pf)
	case pf == 1 && component(imp) == "protos":
		return "protobuf stops at the RPC edge: pure cores speak Go types"
	case pf == 2 && inf == 1:
		return "ground services serve every component and know none"
	case pf == 3 && inf == 1 && component(pkg) != component(imp):
		return "a driver may not import another component's insides"
	}
	return ""
}

// impure lists standard and foreign imports that a floor may not have.
func impure(pkg, imp string) string {
	f, _ := floorOf(pkg)
	isNet := imp == "net" || imp == "net/netip"
	switch {
	case (strings.HasPrefix(imp, "github.com/spf13/cobra") || strings.HasPrefix(imp, "github.com/spf13/viper")) && f != 5:
		return "fulcrum is the only user of cobra and viper"
	case f == 0 && component(pkg) == "crux" && pkg != "crux/clock" && !isNet &&
		(imp == "os" || strings.HasPrefix(imp, "net/") || strings.HasPrefix(imp, "google.golang.org/")):
		return "crux does no I/O (net and net/netip for types only)"
	case f == 1 && imp != "net/netip" &&
		(imp == "net" || imp == "os" || strings.HasPrefix(imp, "os/") || strings.HasPrefix(imp, "net/") ||
			strings.HasPrefix(imp, "google.golang.org/") || imp == "crypto/rand" || imp == "syscall"):
		return "a pure core does no I/O and has no randomness of its own"
	}
	return ""
}

type source struct {
	pkg  string // folder relative to the root
	path string
	file *ast.File
	test bool
}

// sources parses every Go file of the module.
func sources(t *testing.T) (out []source, fset *token.FileSet) {
	t.Helper()
	fset = token.NewFileSet()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bench") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, source{path.Dir(filepath.ToSlash(p)), p, f, strings.HasSuffix(p, "_test.go")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("only %d Go files found: is the test run in the module's root?", len(out))
	}
	return out, fset
}

func TestFloors(t *testing.T) {
	files, _ := sources(t)
	for _, s := range files {
		if s.test || s.pkg == "." {
			continue // tests are exempt
		}
		if _, ok := floorOf(s.pkg); !ok {
			t.Errorf("%s: package %s is on no floor: add it to the table here and to ARCHITECTURE.md", s.path, s.pkg)
			continue
		}
		for _, i := range s.file.Imports {
			imp := strings.Trim(i.Path.Value, `"`)
			why := impure(s.pkg, imp)
			if rel, ok := strings.CutPrefix(imp, module+"/"); ok {
				why = forbidden(s.pkg, rel)
			}
			if why != "" {
				t.Errorf("%s imports %s: %s", s.path, imp, why)
			}
		}
	}
}

// clockReads are calls that read the machine's clock or its randomness.
var clockReads = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
	"rand": {"Int", "IntN", "Intn", "Int63", "Int64", "Uint64", "Uint32", "Float64", "Perm", "Shuffle", "N", "Read", "Int64N", "Uint64N"},
}

func TestPureCoresStartNothingAndReadNoClock(t *testing.T) {
	files, fset := sources(t)
	for _, s := range files {
		if f, _ := floorOf(s.pkg); s.test || f != 1 {
			continue
		}
		imports := map[string]bool{}
		for _, i := range s.file.Imports {
			imports[path.Base(strings.TrimSuffix(strings.Trim(i.Path.Value, `"`), "/v2"))] = true
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a pure core starts a goroutine: leave that to its driver", fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if ok && imports[x.Name] && slices.Contains(clockReads[x.Name], n.Sel.Name) {
					t.Errorf("%s: a pure core calls %s.%s: time and randomness are parameters", fset.Position(n.Pos()), x.Name, n.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	files, _ := sources(t)
	said := map[string]bool{}
	for _, s := range files {
		if s.test || component(s.pkg) == "protos" {
			continue
		}
		if doc := s.file.Doc; doc != nil && len(doc.Text()) > 40 {
			said[s.pkg] = true
		} else if !said[s.pkg] {
			said[s.pkg] = false
		}
	}
	for pkg, ok := range said {
		if !ok {
			t.Errorf("package %s has no package comment that says what it is", pkg)
		}
	}
}

func TestArchitectureNamesEveryPackage(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := sources(t)
	seen := map[string]bool{".": true}
	for _, s := range files {
		if c := component(s.pkg); seen[s.pkg] || c == "protos" || c == "examples" {
			continue
		}
		seen[s.pkg] = true
		if !strings.Contains(string(text), "`"+s.pkg+"`") {
			t.Errorf("ARCHITECTURE.md does not say where package %s belongs", s.pkg)
		}
	}
}

func TestTopLevelIsFixed(t *testing.T) {
	allowed := []string{"crux", "flock", "reeve", "steward", "proctor", "pastiche", "picket", "confab", "lashup", "minuteman",
		"fulcrum", "protos", "docs", "examples", "bench", "go.mod", "go.sum", "README.md", "ARCHITECTURE.md", "LICENSE", "floors_test.go"}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s does not belong at the top level (see ARCHITECTURE.md)", e.Name())
		}
	}
}

// TestForbiddenEdgesAreSeen keeps the rules above from passing by accident.
func TestForbiddenEdgesAreSeen(t *testing.T) {
	for _, e := range [][2]string{
		{"crux", "protos/node"}, {"crux", "crux/rpc"}, {"flock", "protos/flock"}, {"flock", "confab/udp"}, {"confab/udp", "flock"},
		{"reeve", "picket"}, {"picket", "fulcrum"}, {"flock/node", "steward"}, {"examples/galumph", "picket"}, {"crux", "unknown"},
	} {
		if forbidden(e[0], e[1]) == "" {
			t.Errorf("%s may import %s", e[0], e[1])
		}
	}
	for _, e := range [][2]string{
		{"flock", "crux"}, {"flock/node", "flock"}, {"flock/node", "flock/packet"}, {"picket", "picket/heartbeat"}, {"crux/rpc", "crux/wire"},
		{"fulcrum", "reeve"}, {"examples/galumph", "crux/rpc/service"}, {"reeve", "steward"}, {"flock/sim", "confab/sim"},
	} {
		if why := forbidden(e[0], e[1]); why != "" {
			t.Errorf("%s may not import %s: %s", e[0], e[1], why)
		}
	}
	if impure("flock", "os") == "" || impure("reeve", "github.com/spf13/cobra") == "" || impure("flock", "net/netip") != "" {
		t.Error("imports from outside are not judged right")
	}
}
