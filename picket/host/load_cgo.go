//go:build cgo

package host

import (
	"debug/buildinfo"
	"debug/elf"
	"net/url"
	"os"
	"plugin"
	"slices"
	"strings"

	"fulcrum.example/crux"
)

// load opens the plugin in f and looks up its function. soft lists differences
// of build that explain a failure.
func load(f *os.File, name string, soft []string) (crux.Service, error) {
	// plugin.Open wants a path: of the file that was hashed, which the private
	// folder keeps.
	p, err := plugin.Open(f.Name())
	if err != nil {
		if len(soft) > 0 {
			return nil, crux.Errorf("load plugin", crux.Invalid, "%w (%s); %s", err, strings.Join(soft, ", "), remedy)
		}
		return nil, crux.Errorf("load plugin", crux.Invalid, "%w; %s", err, remedy)
	}
	const op = "find function"
	symbol, err := p.Lookup(name)
	if err != nil {
		return nil, crux.Errorf(op, crux.NotFound, "the plugin has no function %q; it exports %s", name, exported(f))
	}
	switch s := symbol.(type) {
	case func(<-chan bool, chan<- []crux.Fservice, crux.Node):
		return s, nil
	case *crux.Service:
		if *s == nil {
			return nil, crux.Errorf(op, crux.Invalid, "the plugin's variable %s holds no function", name)
		}
		return *s, nil
	}
	return nil, crux.Errorf(op, crux.Invalid, "the plugin's %s is a %T, not a crux.Service: func(quit <-chan bool, alive chan<- []crux.Fservice, network crux.Node)", name, symbol)
}

// exported names what the plugin's main package exports, for a message.
func exported(f *os.File) string {
	e, err := elf.NewFile(f)
	if err != nil {
		return "what could not be read: " + err.Error()
	}
	defer e.Close()
	symbols, err := e.DynamicSymbols()
	if err != nil {
		return "what could not be read: " + err.Error()
	}
	main := ""
	if info, err := buildinfo.Read(f); err == nil {
		main = info.Path
	}
	var names []string
	for _, s := range symbols {
		if name, ok := exportOf(s.Name, main); ok && s.Section != elf.SHN_UNDEF {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// exportOf takes an exported name out of a symbol of the plugin's main package:
// called by its path, or plugin/unnamed-HASH if it was built by its file's name.
func exportOf(symbol, main string) (name string, ok bool) {
	symbol, err := url.PathUnescape(symbol)
	if err != nil {
		return "", false
	}
	if rest, unnamed := strings.CutPrefix(symbol, "plugin/unnamed-"); unnamed {
		_, name, ok = strings.Cut(rest, ".")
	} else {
		name, ok = strings.CutPrefix(symbol, main+".")
	}
	return name, ok && name != "" && name[0] >= 'A' && name[0] <= 'Z' && !strings.ContainsAny(name, ".:(")
}
