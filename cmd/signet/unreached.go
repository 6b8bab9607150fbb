package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"signet/internal/shell"
	"signet/internal/store/boltstore"
)

// unreached adds to the refusal of a database that is in use why nobody answers for it.
// Other errors stay as they are.
func unreached(socket string, err error) error {
	held, ok := errors.AsType[*boltstore.InUseError](err)
	if !ok {
		return err
	}
	why := "does not answer there"
	file, missing := os.Lstat(socket)
	switch {
	case errors.Is(missing, fs.ErrNotExist):
		why = "is missing"
	case missing == nil && file.Mode().Type() != os.ModeSocket:
		return hintedError{fmt.Errorf("%s is in use by %s, and another file is in the place of its control socket %s", held.Path, held.Holder, socket),
			shell.Command("mv", socket, socket+".moved") + "  # a running server then makes its socket anew, within seconds"}
	}
	return hintedError{fmt.Errorf("%s is in use by %s, and its control socket %s %s", held.Path, held.Holder, socket, why),
		"wait until that process ends or, if it is a server, read its log: it says why the socket is not made anew"}
}
