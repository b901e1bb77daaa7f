package host

import "fulcrum.example/crux"

// BuiltinMain runs one of the functions that are compiled into this binary, the
// one that args name (function, descriptor of the report), and does not return.
func BuiltinMain(args []string, functions map[string]crux.Service) {
	f, err := prepareBuiltin(args, functions)
	if err != nil {
		fail(BuiltinCommand, err)
	}
	go keepSmall()
	serve(f, args[0])
}

func prepareBuiltin(args []string, functions map[string]crux.Service) (crux.Service, error) {
	if len(args) != 2 {
		return nil, crux.Errorf("", crux.Invalid, "want FUNC FD: this command is not for people, fulcrum starts it")
	}
	return reported(args[1], func() (crux.Service, error) {
		f, ok := functions[args[0]]
		if !ok {
			return nil, crux.Errorf("find function", crux.NotFound, "this fulcrum has no built-in %q that runs in a process of its own", args[0])
		}
		return f, nil
	})
}
