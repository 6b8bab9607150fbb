package boltstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	application = "signet"
	// schema is the version of the layout below. A change that an older Signet
	// would misread raises it; a new field in a record or a new bucket does not.
	schema = 1

	// pagesAtOpen is how many pages Open inspects, from the root down: all of
	// a small file, the upper levels of a large one, within some 50 ms.
	pagesAtOpen = 1 << 14
)

// The layout: buckets and fixed keys.
var (
	bucketMeta      = []byte("meta")
	bucketKeys      = []byte("keys")       // keyRing -> ring, JSON
	bucketUsers     = []byte("users")      // id -> user, CBOR
	bucketNames     = []byte("names")      // name -> id
	bucketSessions  = []byte("sessions")   // id -> session, CBOR
	bucketBySubject = []byte("by-subject") // subject, id -> nothing; see subjectKey
	bucketClients   = []byte("clients")    // id -> client, CBOR
	bucketUsed      = []byte("assertions") // expiry and hash of a used client assertion -> nothing

	keyApplication = []byte("application")
	keySchema      = []byte("schema")
	keyProbe       = []byte("probe")
	keyRing        = []byte("ring")
)

// Options are the settings of Open; the zero value is good.
type Options struct {
	// Timeout is how long to wait for another process to let go of the file;
	// one second if zero.
	Timeout time.Duration
	// Logger gets what goes wrong besides the error returned; may be nil.
	Logger *slog.Logger
}

// Open opens the database at path, or makes a new one if there is no file. An
// empty one was a database once: a new one appears whole. It returns ErrInUse,
// ErrDamaged or ErrForeign for a file it must not touch.
func Open(path string, opts Options) (*Store, error) {
	opts.Timeout = cmp.Or(opts.Timeout, time.Second)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	size, err := fileSize(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = create(path)
	case err == nil && size == 0:
		err = fmt.Errorf("%w: %s is empty: restore a backup, or remove the file to begin with a new database", ErrDamaged, path)
	case err == nil:
		err = examine(path, opts)
	}
	if err != nil {
		return nil, err
	}
	return open(path, opts)
}

// fileSize returns the size of the regular file at path.
func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, openError(path, err)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%w: %s is not a regular file: name a file, or a path where there is none yet", ErrForeign, path)
	}
	return info.Size(), nil
}

// create makes a new database under another name and links it into place, so
// that it is either missing or whole: a crash or a full disk on the way leaves
// nothing that a later start would have to refuse.
func create(path string) error {
	dir, base := filepath.Split(path)
	tmp, err := os.CreateTemp(cmp.Or(dir, "."), base+".new-*")
	if err != nil {
		return openError(path, err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	db, _, err := openBolt(tmp.Name(), &bbolt.Options{})
	if err != nil {
		return openError(path, err)
	}
	if err := errors.Join(db.Update(prepare), db.Close()); err != nil {
		return openError(path, err)
	}
	// A file that appeared in the meantime wins. Where there are no links, the
	// file is made in place instead.
	if err := os.Link(tmp.Name(), path); err != nil {
		return nil
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a new directory entry durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return openError(dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return openError(dir, err)
	}
	return nil
}

// examine decides whether the file may be opened for writing, and changes
// nothing: already opening a bbolt file for writing may write to it.
func examine(path string, opts Options) error {
	if err := preflight(path); err != nil {
		return err
	}
	db, file, err := openBolt(path, &bbolt.Options{ReadOnly: true, Timeout: opts.Timeout})
	if err != nil {
		return openError(path, err)
	}
	err = guard(func() error {
		if err := inspect(file, pagesAtOpen); err != nil {
			return damaged(path, err)
		}
		return db.View(func(tx *bbolt.Tx) error {
			_, err := identify(path, tx)
			return err
		})
	})
	if p := (*panicError)(nil); errors.As(err, &p) {
		err = damaged(path, err)
	}
	return errors.Join(err, db.Close())
}

// open opens the file for writing and starts the writer loop.
func open(path string, opts Options) (*Store, error) {
	db, file, err := openBolt(path, &bbolt.Options{
		Timeout: opts.Timeout,
		// Finds free pages in constant time, however many there are.
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
	})
	if err != nil {
		return nil, openError(path, err)
	}
	s := &Store{
		db: db, file: file, path: path, log: opts.Logger,
		queue:  make(chan *request, maxBatch),
		commit: (*bbolt.Tx).Commit,
	}
	if err := guard(s.prepare); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.loop.Go(s.run)
	return s, nil
}

// prepare looks at the file again, now that no one else can write to it, and
// makes the buckets of a new one, and the one that an older Signet did not make.
func (s *Store) prepare() error {
	fresh := false
	err := s.db.View(func(tx *bbolt.Tx) (err error) {
		fresh, err = identify(s.path, tx)
		return err
	})
	if err != nil || !fresh {
		return err
	}
	if err := s.db.Update(prepare); err != nil {
		return openError(s.path, err)
	}
	return syncDir(filepath.Dir(s.path))
}

// buckets are all there are; a file that lacks one has lost it.
var buckets = [][]byte{bucketMeta, bucketKeys, bucketUsers, bucketNames, bucketSessions, bucketBySubject, bucketClients, bucketUsed}

// prepare writes an empty database.
func prepare(tx *bbolt.Tx) error {
	for _, name := range buckets {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	return errors.Join(
		meta.Put(keyApplication, []byte(application)),
		meta.Put(keySchema, binary.BigEndian.AppendUint32(nil, schema)))
}

// identify says whether the database is ours, or fresh: without any bucket,
// as a crash right after its creation leaves it.
func identify(path string, tx *bbolt.Tx) (fresh bool, err error) {
	if name, _ := tx.Cursor().First(); name == nil {
		return true, nil
	}
	meta := tx.Bucket(bucketMeta)
	if meta == nil || !bytes.Equal(meta.Get(keyApplication), []byte(application)) {
		return false, fmt.Errorf("%w: %s belongs to another program: choose another file", ErrForeign, path)
	}
	v := meta.Get(keySchema)
	if len(v) != 4 {
		return false, damaged(path, errors.New("no schema version"))
	}
	if n := binary.BigEndian.Uint32(v); n > schema {
		return false, fmt.Errorf("%w: %s was written by a newer signet (schema %d; this one knows %d): use the newer version",
			ErrForeign, path, n, schema)
	}
	for _, name := range buckets {
		if tx.Bucket(name) == nil {
			return false, damaged(path, fmt.Errorf("no bucket %s", name))
		}
	}
	return false, nil
}

// openBolt is bbolt.Open with its panics as errors and its file handle shown.
func openBolt(path string, o *bbolt.Options) (db *bbolt.DB, file *os.File, err error) {
	o.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, o)
		return err
	})
	if p := (*panicError)(nil); errors.As(err, &p) && file != nil {
		file.Close() // releases the lock
	}
	return db, file, err
}

// openError says what stands between us and the file, and what to do.
func openError(path string, err error) error {
	p := (*panicError)(nil)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return inUse(path)
	case errors.As(err, &p),
		errors.Is(err, berrors.ErrInvalid),
		errors.Is(err, berrors.ErrChecksum),
		errors.Is(err, berrors.ErrVersionMismatch),
		errors.Is(err, berrors.ErrIncompatibleValue): // an entry where a bucket belongs
		return damaged(path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot open the database %s: %w: check the owner and the mode of the file and its directory", path, err)
	default:
		return fmt.Errorf("cannot open the database %s: %w: check that its directory exists, is writable and has space", path, err)
	}
}

func damaged(path string, cause error) error {
	return fmt.Errorf("%w: %s: %w: restore a backup", ErrDamaged, path, cause)
}

// inUseError says who holds the file.
type inUseError struct{ path, who string }

func inUse(path string) error {
	return &inUseError{path: path, who: cmp.Or(holder(path), "another process")}
}

func (e *inUseError) Error() string {
	return fmt.Sprintf("%s is in use by %s: stop it first, or choose another data directory", e.path, e.who)
}

func (e *inUseError) Is(target error) bool { return target == ErrInUse }
