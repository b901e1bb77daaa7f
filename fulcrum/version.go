package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionText is what this binary is: its module version, and the revision it
// was built from where the build recorded one.
func versionText() string {
	version, revision := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			version = v
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				revision = " " + s.Value[:12]
			}
		}
	}
	return version + revision
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary",
		Example: "  fulcrum version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plugins := "plugins: no (built without cgo)"
			if pluginsBuilt {
				plugins = "plugins: yes"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "fulcrum %s\n%s %s/%s, %s\n",
				versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH, plugins)
			return err
		},
	}
}
