//go:build !cgo

package host

import (
	"os"

	"fulcrum.example/crux"
)

// load says that this build cannot.
func load(*os.File, string, []string) (crux.Service, error) {
	return nil, crux.Errorf("load plugin", crux.NotSupported, "this fulcrum was built without cgo and cannot load Go plugins: build it with CGO_ENABLED=1, or publish an executable")
}
