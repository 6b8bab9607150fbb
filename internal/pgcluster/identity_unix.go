//go:build unix

package pgcluster

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// identity is a user that the server runs as.
type identity struct{ uid, gid int }

// serverIdentity is that of this process, or of a user without rights where that is
// root's: PostgreSQL refuses to run as root.
func serverIdentity() (*identity, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, err := strconv.Atoi(u.Uid)
			gid, err2 := strconv.Atoi(u.Gid)
			return &identity{uid, gid}, errors.Join(err, err2)
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

// own gives the server a file.
func (i *identity) own(path string) error {
	if i == nil {
		return nil
	}
	return os.Chown(path, i.uid, i.gid)
}

// apply lets cmd run as the identity, in a process group that no Ctrl-C reaches.
func (i *identity) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if i != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(i.uid), Gid: uint32(i.gid)}
	}
}
