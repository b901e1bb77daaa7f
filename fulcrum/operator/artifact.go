package operator

import (
	"crypto/sha256"
	"debug/elf"
	"errors"
	"io"
	"os"
	"strings"

	"fulcrum.example/crux"
)

// kindOf tells a program from a Go plugin, and refuses what nodes cannot run.
func kindOf(path string) (crux.UnitKind, error) {
	f, err := elf.Open(path)
	var format *elf.FormatError
	switch {
	case errors.As(err, &format):
		if b, rerr := head(path, 2); rerr == nil && string(b) == "#!" {
			return crux.Executable, nil
		}
		return "", crux.Errorf("publish", crux.Invalid, "%s is neither an executable nor a plugin: %w", path, err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "", crux.Errorf("publish", crux.Invalid, "%s is neither an executable nor a plugin, or it is cut short", path)
	case err != nil:
		return "", crux.Errorf("publish", crux.NotFound, "%w", err)
	}
	defer f.Close()
	if f.Type == elf.ET_DYN && f.Entry == 0 || strings.HasSuffix(path, ".so") {
		return crux.Plugin, nil
	}
	return crux.Executable, nil
}

func head(path string, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n)
	_, err = io.ReadFull(f, b)
	return b, err
}

func hashFile(path string) (crux.Checksum, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return crux.Checksum{}, 0, crux.Errorf("publish", crux.NotFound, "%w", err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return crux.Checksum{}, 0, crux.Errorf("publish", crux.Internal, "%s: %w", path, err)
	}
	return crux.Checksum(h.Sum(nil)), n, nil
}
