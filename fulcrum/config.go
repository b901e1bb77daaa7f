package main

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
)

// envPrefix begins every environment variable that configures fulcrum:
// --key-file is FULCRUM_KEY_FILE.
const envPrefix = "FULCRUM"

// configure gives the configuration of a command: its flags, where one is not
// given the environment, and where that has none the file that --config or
// FULCRUM_CONFIG names.
func configure(cmd *cobra.Command) (*viper.Viper, error) {
	v := viper.New()
	v.SetEnvPrefix(envPrefix)
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	v.AutomaticEnv()
	if err := v.BindPFlags(cmd.Flags()); err != nil {
		return nil, err
	}
	if file := v.GetString("config"); file != "" {
		v.SetConfigFile(file)
		if err := v.ReadInConfig(); err != nil {
			return nil, crux.Errorf("read configuration", crux.Invalid, "%s: %w", file, err)
		}
		if err := onlyKnown(cmd, v); err != nil {
			return nil, err
		}
		if err := ownersOnly(v, file); err != nil {
			return nil, err
		}
	}
	return v, rightTypes(cmd, v)
}

// rightTypes refuses settings of the environment and the file that are not of
// their flag's type: viper would take them for zero. What was given by flag has
// been checked.
func rightTypes(cmd *cobra.Command, v *viper.Viper) (err error) {
	cmd.Flags().VisitAll(func(f *flag) {
		text := v.GetString(f.Name)
		if err != nil || f.Changed || text == f.DefValue {
			return
		}
		var wrong error
		switch f.Value.Type() {
		case "duration":
			_, wrong = time.ParseDuration(text)
		case "int", "int64":
			_, wrong = strconv.ParseInt(text, 10, 64)
		case "uint16":
			_, wrong = strconv.ParseUint(text, 10, 16)
		case "uint64":
			_, wrong = strconv.ParseUint(text, 10, 64)
		case "float64":
			_, wrong = strconv.ParseFloat(text, 64)
		case "bool":
			_, wrong = strconv.ParseBool(text)
		}
		if wrong != nil {
			err = crux.Errorf("read configuration", crux.Invalid, "%s is %q, which is no %s", f.Name, text, f.Value.Type())
		}
	})
	return err
}

// ownersOnly refuses a configuration file that holds a secret and that others
// can read.
func ownersOnly(v *viper.Viper, file string) error {
	if !v.InConfig("s3-secret-key") {
		return nil
	}
	st, err := os.Stat(file)
	if err != nil {
		return crux.Errorf("read configuration", crux.Invalid, "%w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return crux.Errorf("read configuration", crux.Denied,
			"%s holds s3-secret-key and is readable by others (mode %04o): run chmod 600 %s", file, st.Mode().Perm(), file)
	}
	return nil
}

// fileOnly are settings that have no flag, because a command line is public.
var fileOnly = []string{"s3-access-key", "s3-secret-key"}

// onlyKnown refuses a configuration file with a setting that no command knows:
// a misspelt one would otherwise be ignored.
func onlyKnown(cmd *cobra.Command, v *viper.Viper) error {
	known := map[string]bool{}
	for _, k := range fileOnly {
		known[k] = true
	}
	root := cmd.Root()
	for _, c := range append(root.Commands(), root) {
		c.Flags().VisitAll(func(f *flag) { known[f.Name] = true })
		c.PersistentFlags().VisitAll(func(f *flag) { known[f.Name] = true })
	}
	for _, k := range v.AllKeys() {
		if !known[k] {
			return crux.Errorf("read configuration", crux.Invalid, "%s: no setting is called %q", v.ConfigFileUsed(), k)
		}
	}
	return nil
}
