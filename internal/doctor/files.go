package doctor

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"strconv"

	"signet/internal/shell"
)

// Files are those of the deployment.
type Files struct {
	// Data is the directory; the others are paths of files.
	Data, Database, SealingKey, Audit, Socket string
	// TLSKey and PIN are the files of the certificate's private key and of the PIN of a
	// PKCS #11 token; empty if there are none.
	TLSKey, PIN string
	// ACME is the directory of what a CA has issued.
	ACME string
	// Lost is what to do if the database file is missing under a server that runs; empty if
	// none runs.
	Lost string
	// UID is the user that the server runs as; less than zero if none runs.
	UID int
}

// Checks looks at modes and owners: who else could read the database with its password
// hashes, or the key that seals the private keys, or could command the server.
func (f Files) Checks() []Check {
	r := &report{name: "files"}
	info, err := os.Stat(f.Data)
	if err != nil {
		r.fail(whyNoFile(err, "name the data directory with --data DIR, or the configuration with --config FILE"), "%v", err)
		return r.checks
	}
	if f.UID < 0 {
		if uid, known := owner(info); known {
			f.UID = uid
		}
	}
	f.check(r, f.Data, 0o077, 0o700, "")
	const restore = "restore the file from its backup, or name its place: "
	f.check(r, f.Database, 0o077, 0o600, cmp.Or(f.Lost, restore+"--data DIR"))
	f.check(r, f.SealingKey, 0o037, 0o600, restore+"--seal-key FILE") // the group may read: a mounted secret does not let it be otherwise
	f.check(r, f.PIN, 0o077, 0o600, "write the PIN of the token to it, or name its place: keys.pkcs11_pin_file")
	for _, c := range []struct {
		path             string
		forbidden, right fs.FileMode
	}{{f.TLSKey, 0o037, 0o600}, {f.ACME, 0o077, 0o700}, {f.Audit, 0o037, 0o600}, {f.Socket, 0o077, 0o600}} { // what ships logs may be of the group
		if _, err := os.Lstat(c.path); !errors.Is(err, fs.ErrNotExist) {
			f.check(r, c.path, c.forbidden, c.right, "restore what the link leads to")
		}
	}
	return r.orOK("modes and owners in %s are right", f.Data)
}

// check looks at a file; an empty path is none. missing is what to do if it is not there.
func (f Files) check(r *report, path string, forbidden, right fs.FileMode, missing string) {
	if path == "" {
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		r.fail(whyNoFile(err, missing), "%v", err)
		return
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		r.fail(shell.Command("chmod", strconv.FormatUint(uint64(right), 8), path), "others may read or change %s (mode %04o)", path, mode)
	}
	// root reads everything, so what is its own is in no wrong hands.
	if uid, known := owner(info); known && f.UID >= 0 && uid != f.UID && uid != 0 {
		r.fail(shell.Command("chown", userName(f.UID), path), "%s belongs to %s, and the server runs as %s", path, userName(uid), userName(f.UID))
	}
}

func whyNoFile(err error, missing string) string {
	if errors.Is(err, fs.ErrPermission) {
		return "run this command as the user that the server runs as"
	}
	return missing
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}
