package boot

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"fulcrum.example/crux"
	"fulcrum.example/crux/bloc"
	"fulcrum.example/crux/disk"
)

// lockData takes the data folder for this process alone, until it ends.
func lockData(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, crux.Errorf("open data folder", crux.Denied, "%w: choose another with --data", err)
	}
	if len(dir) > maxDataPath {
		return nil, crux.Errorf("open data folder", crux.Invalid,
			"%s is %d characters long: unix sockets in it allow %d at most; choose a shorter --data", dir, len(dir), maxDataPath)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, crux.Errorf("open data folder", crux.Denied, "%w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, crux.Errorf("open data folder", crux.Exists, "%s is used by another fulcrum that is running: end that one, or choose another --data", dir)
	}
	return f, nil
}

// maxDataPath leaves room for the longest socket name in sun_path's 108 bytes.
const maxDataPath = 72

// policy puts the bloc file in force: the given one, or the one that the node
// keeps on disk where that has a higher version.
func policy(cfg Config) (*bloc.Policy, error) {
	if cfg.BlocFile == nil {
		return bloc.OpenPolicy(cfg.Bloc), nil
	}
	p, err := bloc.NewPolicy(cfg.BlocFile)
	if err != nil {
		return nil, err
	}
	kept, err := keptBloc(cfg.Data)
	if err != nil || kept == nil {
		return p, err
	}
	if kept.Bloc != cfg.BlocFile.Bloc || kept.Key.String() != cfg.BlocFile.Key.String() {
		return nil, crux.Errorf("open bloc file", crux.Conflict,
			"the data folder belongs to bloc %s, the bloc file given is that of %s under key %s: choose another --data", kept.Bloc, cfg.BlocFile.Bloc, cfg.BlocFile.Key)
	}
	if kept.Version > cfg.BlocFile.Version {
		return nil, crux.Errorf("open bloc file", crux.Conflict,
			"the bloc file given is version %d, but this node has had version %d: give that one or a newer (it is kept in %s)",
			cfg.BlocFile.Version, kept.Version, blocPath(cfg.Data))
	}
	return p, nil
}

const blocName = "bloc.json"

func blocPath(data string) string { return filepath.Join(data, blocName) }

// keptBloc reads the newest bloc file that this node has had; nil if none.
func keptBloc(data string) (*bloc.Document, error) {
	text, err := os.ReadFile(blocPath(data))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, crux.Errorf("open bloc file", crux.Internal, "%w", err)
	}
	d, err := bloc.Parse(text)
	return d, crux.Wrap(blocPath(data), err)
}

// keepBloc writes a bloc file to disk, for the next start.
func keepBloc(data string, d *bloc.Document) error {
	text, err := d.Marshal()
	if err != nil {
		return err
	}
	return crux.Wrap("keep bloc file", disk.Replace(data, blocName, text))
}

// FirstAddr is the first address of this machine that is up and not loopback.
func FirstAddr() (netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, crux.Errorf("find own address", crux.Internal, "%w", err)
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		if ip = ip.Unmap(); ok && ip.IsGlobalUnicast() && !ip.IsLoopback() {
			return ip, nil
		}
	}
	return netip.Addr{}, crux.Errorf("find own address", crux.NotFound, "no interface has one: give --addr IP[:PORT]")
}
