package doctor

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"strconv"
)

// Files are those of the deployment.
type Files struct {
	// Data is the directory; the others are paths of files.
	Data, Database, SealingKey, Audit, Socket string
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
	f.check(r, f.Data, 0o077, 0o700)
	f.check(r, f.Database, 0o077, 0o600)
	f.check(r, f.SealingKey, 0o037, 0o600)                                                 // the group may read: a mounted secret does not let it be otherwise
	for path, forbidden := range map[string]fs.FileMode{f.Audit: 0o037, f.Socket: 0o077} { // what ships logs may be of the group
		if _, err := os.Lstat(path); err == nil {
			f.check(r, path, forbidden, 0o600)
		}
	}
	return r.orOK("modes and owners in %s are right", f.Data)
}

func (f Files) check(r *report, path string, forbidden, right fs.FileMode) {
	info, err := os.Stat(path)
	if err != nil {
		r.fail(whyNoFile(err, "restore the file from its backup, or name its place: --data DIR, --seal-key FILE"), "%v", err)
		return
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		r.fail("chmod "+strconv.FormatUint(uint64(right), 8)+" "+path, "others may read or change %s (mode %04o)", path, mode)
	}
	// root reads everything, so what is its own is in no wrong hands.
	if uid, known := owner(info); known && f.UID >= 0 && uid != f.UID && uid != 0 {
		r.fail("chown "+userName(f.UID)+" "+path, "%s belongs to %s, and the server runs as %s", path, userName(uid), userName(f.UID))
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
