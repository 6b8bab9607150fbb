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
	"slices"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"signet/internal/store/record"
	"signet/users"
)

const (
	application = "signet"
	// schema is the version of the layout below. A change that an older Signet
	// would misread raises it; a new field in a record or a new bucket does not.
	schema = 3

	// pagesAtOpen is how many pages Open inspects, from the root down: all of
	// a small file, the upper levels of a large one, within some 10 ms.
	pagesAtOpen = 1 << 12
)

// The layout: buckets and fixed keys.
var (
	bucketMeta      = []byte("meta")
	bucketKeys      = []byte("keys")       // keyRing -> ring, JSON
	bucketUsers     = []byte("users")      // id -> user, CBOR
	bucketNames     = []byte("names")      // name -> id
	bucketSessions  = []byte("sessions")   // id -> session; see sessioncodec.go
	bucketBySubject = []byte("by-subject") // subject, id -> nothing; see subjectKey
	bucketClients   = []byte("clients")    // id -> client, CBOR
	bucketUsed      = []byte("assertions") // expiry and hash of a used client assertion -> nothing
	bucketUserIDs   = []byte("user-ids")   // user_id -> id; since schema 2
	bucketHashes    = []byte("hashes")     // kind of hash -> how many users have one; since schema 2

	keyApplication = []byte("application")
	keySchema      = []byte("schema")
	keyProbe       = []byte("probe")
	keyRing        = []byte("ring")
	keyDecoys      = []byte("decoys")
	keyAuditMark   = []byte("audit")
)

// Options are the settings of Open; the zero value is good.
type Options struct {
	// Timeout is how long to wait for another process to let go of the file;
	// one second if zero.
	Timeout time.Duration
	// Logger gets what goes wrong besides the error returned; may be nil.
	Logger *slog.Logger
	// Committed hears of each commit that changed something, how long it took with its
	// sync, how many requests shared it, and why it failed or could not begin. It is on
	// the path of all writes. May be nil.
	Committed func(took time.Duration, requests int, err error)
	// Beside does a commit beside other work of the process: it waits for the disk. Nil
	// just does it.
	Beside func(commit func())
	// Moved opens a database that was copied elsewhere, too; see Store.Leave.
	Moved bool

	// filling opens a database that is being filled, too; see OpenTarget.
	filling bool
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
		err = &damagedError{sentence: path + " is empty", advice: "restore a backup, or remove the file to begin with a new database"}
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
func create(path string) error { return createWith(path, prepare) }

func createWith(path string, prepare func(*bbolt.Tx) error) error {
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
	if err := preflight(path, path); err != nil {
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
			_, err := identify(path, tx, opts)
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
	size, err := fileSize(path)
	if err != nil {
		return nil, err
	}
	db, file, err := openBolt(path, &bbolt.Options{
		Timeout:         opts.Timeout,
		InitialMmapSize: mapFor(size),
		// Every commit writes the list of free pages, in order: a map would have to sort
		// it anew each time, some 70,000 pages after a sweep of a million sessions. A file
		// that lacks the list would be read as a whole at the next start.
		FreelistType: bbolt.FreelistArrayType,
		NoStatistics: true,
	})
	if err != nil {
		return nil, openError(path, err)
	}
	db.AllocSize = growBy
	s := &Store{
		db: db, file: file, path: path, log: opts.Logger,
		queue:   make(chan *request, maxBatch),
		commit:  (*bbolt.Tx).Commit,
		outside: outside{file: file, path: path, log: opts.Logger, pageSize: uint64(db.Info().PageSize)},

		committed: opts.Committed,
		beside:    opts.Beside,
	}
	if s.beside == nil {
		s.beside = func(commit func()) { commit() }
	}
	if err := guard(func() error { return s.prepare(opts) }); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := s.outside.begin(); err != nil {
		return nil, errors.Join(openError(path, err), db.Close())
	}
	s.loop.Go(s.run)
	return s, nil
}

// prepare looks at the file again, now that no one else can write to it, and brings
// a new or an older one to the schema of this version, in one step.
func (s *Store) prepare(opts Options) error {
	found := uint32(0)
	err := s.db.View(func(tx *bbolt.Tx) (err error) {
		found, err = identify(s.path, tx, opts)
		return err
	})
	if err != nil || found == schema {
		return err
	}
	if err := s.db.Update(func(tx *bbolt.Tx) error { return upgrade(tx, found) }); err != nil {
		return openError(s.path, err)
	}
	if found > 0 {
		s.log.Info("the database has a new layout; an older signet no longer opens it", "file", s.path, "from", found, "to", schema)
		return nil
	}
	return syncDir(filepath.Dir(s.path))
}

// buckets are those of each schema beside the ones before; a file that lacks one has
// lost it.
var buckets = [schema][][]byte{
	{bucketMeta, bucketKeys, bucketUsers, bucketNames, bucketSessions, bucketBySubject, bucketClients, bucketUsed},
	{bucketUserIDs, bucketHashes},
	{}, // another form of sessions, which each gets when it is next written
}

// prepare writes an empty database.
func prepare(tx *bbolt.Tx) error { return upgrade(tx, 0) }

// upgrade makes what a database of an older schema lacks; 0 has nothing.
func upgrade(tx *bbolt.Tx, from uint32) error {
	for _, added := range buckets[from:] {
		for _, name := range added {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
	}
	if from == 1 {
		if err := countHashes(tx); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	if from == 0 { // or it has a name, which may be that of one that was moved
		if err := meta.Put(keyApplication, []byte(application)); err != nil {
			return err
		}
	}
	return errors.Join(
		meta.Put(keySchema, binary.BigEndian.AppendUint32(nil, schema)))
}

// countHashes fills the counts of an older database. Its users have no user_id.
func countHashes(btx *bbolt.Tx) error {
	counts := map[string]int64{}
	t := &tx{Tx: btx}
	err := t.Bucket(bucketUsers).ForEach(func(id, b []byte) error {
		u, err := record.DecodeUser(string(id), b)
		counts[users.HashKind(u.Hash)]++
		return err
	})
	for kind, n := range counts {
		err = cmp.Or(err, countHash(t, kind, n))
	}
	return err
}

// identify says which schema the database has; 0 is a fresh one, without any bucket,
// as a crash right after its creation leaves it. One that is being filled, or was moved,
// is refused unless opts say otherwise.
func identify(path string, tx *bbolt.Tx, opts Options) (found uint32, err error) {
	if name, _ := tx.Cursor().First(); name == nil {
		return 0, nil
	}
	marked, err := refuseMarked(path, tx, opts)
	if err != nil {
		return 0, err
	}
	meta := tx.Bucket(bucketMeta)
	if !marked && (meta == nil || !bytes.Equal(meta.Get(keyApplication), []byte(application))) {
		return 0, fmt.Errorf("%w: %s belongs to another program: choose another file", ErrForeign, path)
	}
	v := meta.Get(keySchema)
	if len(v) != 4 || binary.BigEndian.Uint32(v) == 0 {
		return 0, damaged(path, errors.New("no schema version"))
	}
	if found = binary.BigEndian.Uint32(v); found > schema {
		return 0, fmt.Errorf("%w: %s was written by a newer signet (schema %d; this one knows %d): use the newer version",
			ErrForeign, path, found, schema)
	}
	for _, name := range slices.Concat(buckets[:found]...) {
		if tx.Bucket(name) == nil {
			return 0, damaged(path, fmt.Errorf("no bucket %s", name))
		}
	}
	return found, nil
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
	case errors.Is(err, ErrStorage): // a record that the upgrade cannot read
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot open the database %s: %w: check the owner and the mode of the file and its directory", path, err)
	default:
		return fmt.Errorf("cannot open the database %s: %w: check that its directory exists, is writable and has space", path, err)
	}
}

func damaged(path string, cause error) error {
	return &damagedError{sentence: fmt.Sprintf("%s: %v", path, cause), advice: "restore a backup", cause: cause}
}

// damagedError says what is wrong with a file, and what to do.
type damagedError struct {
	sentence, advice string
	cause            error // may be nil
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("%v: %s: %s", ErrDamaged, e.sentence, e.advice)
}

func (e *damagedError) Is(target error) bool { return target == ErrDamaged }
func (e *damagedError) Unwrap() error        { return e.cause }

// InUseError says who holds the file; it is ErrInUse.
type InUseError struct {
	Path string
	// Holder is a process, such as "process 1234 (signet)".
	Holder string
}

func inUse(path string) error {
	return &InUseError{Path: path, Holder: cmp.Or(holder(path), "another process")}
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("%s is in use by %s: stop it first, or choose another data directory", e.Path, e.Holder)
}

// Is makes it ErrInUse.
func (e *InUseError) Is(target error) bool { return target == ErrInUse }
