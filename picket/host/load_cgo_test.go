//go:build cgo

package host

import "testing"

func TestExportOfFindsTheMainPackagesNames(t *testing.T) {
	t.Parallel()
	const main = "example.org/a.b/plug.in"
	for symbol, want := range map[string]string{
		"plugin/unnamed-0123.Beat":        "Beat",
		"example.org/a.b/plug%2ein.Beat":  "Beat",
		"plugin/unnamed-0123.beat":        "",
		"plugin/unnamed-0123.Type.Method": "",
		"plugin/unnamed-0123..inittask":   "",
		"example.org/other.Beat":          "",
		"%zz":                             "",
		"runtime.GC":                      "",
	} {
		if got, ok := exportOf(symbol, main); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v, want %q", symbol, got, ok, want)
		}
	}
}
