package boltstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"signet/internal/store/record"
	"signet/keystore"
)

// A backup is a database file with one line behind its last page, where bbolt looks for
// nothing: when it was taken, and a digest. The structure of a database
// says nothing of a bit that changed within a record.

// backupMark begins the line. Behind the pages of a live database there are zeros.
const backupMark = "\nsignet backup "

// maxBackupLine bounds the line, in bytes.
const maxBackupLine = 512

// backupLine is what follows the mark, as JSON.
type backupLine struct {
	Taken time.Time `json:"taken"`
	// Commit is the number of the last transaction. A file that has another was in use
	// since, and the line says nothing of it.
	Commit uint64 `json:"commit"`
	SHA256 string `json:"sha256"`
}

// BackupWriter writes a snapshot into a new file, as a backup.
type BackupWriter struct {
	file   *os.File
	digest hash.Hash
}

// NewBackupWriter returns a writer for the file, which is empty.
func NewBackupWriter(file *os.File) *BackupWriter {
	return &BackupWriter{file: file, digest: sha256.New()}
}

// Write takes the next bytes of the snapshot.
func (w *BackupWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.digest.Write(p[:n])
	return n, err
}

// Finish writes the line, and everything to the disk.
func (w *BackupWriter) Finish(taken time.Time) error {
	m, err := newestMeta(w.file)
	if err != nil {
		return err
	}
	line := backupLine{Taken: taken.UTC().Truncate(time.Millisecond), Commit: m.txid}
	line.SHA256 = line.sum(w.digest)
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	if _, err := w.file.WriteString(backupMark + string(text) + "\n"); err != nil {
		return err
	}
	return w.file.Sync()
}

// Contents are what a backup holds, or a database that no process has open.
type Contents struct {
	// Size is that of the database in the file, in bytes.
	Size   int64
	Schema int
	// Taken is the instant of the snapshot; zero if the file is not as a
	// [BackupWriter] wrote it.
	Taken    time.Time
	Users    int
	Sessions int
	Clients  int
	Ring     keystore.Ring
}

// ReadBackup reads all of the file at path and changes nothing. It returns ErrDamaged,
// ErrForeign or ErrInUse as Open does, and ErrDamaged also for what Open does not look at:
// any page, any record, the digest. name is what its errors call the file.
func ReadBackup(path, name string) (Contents, error) {
	c, err := readBackup(path, name)
	if e := (*damagedError)(nil); errors.As(err, &e) {
		return c, &damagedError{sentence: e.sentence, advice: "this backup cannot be used", cause: e.cause}
	}
	return c, err
}

func readBackup(path, name string) (c Contents, err error) {
	size, err := fileSize(path)
	if err != nil {
		return c, err
	}
	if size == 0 {
		return c, &damagedError{sentence: name + " is empty"}
	}
	if err := preflight(path, name); err != nil {
		return c, err
	}
	db, file, err := openBolt(path, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return c, openError(name, err)
	}
	err = guard(func() error { return c.read(name, db, file) })
	switch p := (*panicError)(nil); {
	case errors.As(err, &p):
		err = damaged(name, err)
	case errors.Is(err, ErrStorage):
		err = &damagedError{sentence: name + ": a record in it cannot be read", cause: err}
	}
	return c, errors.Join(err, db.Close())
}

// read checks the bytes first, and then what they mean.
func (c *Contents) read(name string, db *bbolt.DB, file *os.File) error {
	m, err := newestMeta(file)
	if err != nil {
		return damaged(name, err)
	}
	c.Size = int64(m.pages * m.pageSize)
	line, err := readBackupLine(file, c.Size)
	if err != nil {
		return damaged(name, err)
	}
	if line != nil && line.Commit == m.txid {
		if err := line.verify(file, c.Size); err != nil {
			return damaged(name, err)
		}
		c.Taken = line.Taken
	}
	return db.View(func(btx *bbolt.Tx) error {
		found, err := identify(name, btx, Options{})
		if err != nil {
			return err
		}
		if c.Schema = int(found); found == 0 {
			return damaged(name, errors.New("there is nothing in it"))
		}
		if err := structureFaults(btx, file); err != nil {
			return damaged(name, err)
		}
		return c.count(&tx{Tx: btx})
	})
}

// readBackupLine returns the line behind the pages, or nil if there is none.
func readBackupLine(file io.ReaderAt, size int64) (*backupLine, error) {
	text, err := io.ReadAll(io.NewSectionReader(file, size, maxBackupLine))
	if err != nil {
		return nil, err
	}
	text, found := bytes.CutPrefix(text, []byte(backupMark))
	if !found {
		return nil, nil
	}
	line := new(backupLine)
	if text, found = bytes.CutSuffix(text, []byte("\n")); !found || json.Unmarshal(text, line) != nil {
		return nil, errors.New("its last line, which is signet's own, is broken")
	}
	return line, nil
}

// sum is the digest of the pages, which pages has, and of the rest of the line.
func (l *backupLine) sum(pages hash.Hash) string {
	fmt.Fprintf(pages, "%d %d", l.Taken.UnixMilli(), l.Commit)
	return hex.EncodeToString(pages.Sum(nil))
}

// verify compares the digest.
func (l *backupLine) verify(file io.ReaderAt, size int64) error {
	digest := sha256.New()
	if _, err := io.Copy(digest, io.NewSectionReader(file, 0, size)); err != nil {
		return err
	}
	if l.sum(digest) != l.SHA256 {
		return fmt.Errorf("it is not as it was written at %s: its digest is another", l.Taken.UTC().Format(time.RFC3339))
	}
	return nil
}

// count reads every record.
func (c *Contents) count(t *tx) (err error) {
	if c.Ring, err = loadRing(t); err != nil {
		return err
	}
	for _, kind := range []struct {
		bucket []byte
		n      *int
		decode func(id string, record []byte) error
	}{
		{bucketUsers, &c.Users, func(id string, b []byte) error { _, err := record.DecodeUser(id, b); return err }},
		{bucketSessions, &c.Sessions, func(id string, record []byte) error { _, err := decodeSession(id, record); return err }},
		{bucketClients, &c.Clients, func(id string, b []byte) error { _, err := record.DecodeClient(id, b); return err }},
	} {
		err := t.Bucket(kind.bucket).ForEach(func(id, record []byte) error {
			*kind.n++
			return kind.decode(string(id), record)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// CheckFree returns ErrInUse if a process has the database at path open.
func CheckFree(path string) error {
	db, _, err := openBolt(path, &bbolt.Options{ReadOnly: true, Timeout: time.Millisecond})
	if err == nil {
		return db.Close()
	}
	if err = openError(path, err); errors.Is(err, ErrInUse) {
		return err
	}
	return nil
}
