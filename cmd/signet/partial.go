package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// partial is a file under a name of its own, until it is whole and gets the name that it
// is for: that one is either missing or whole, whenever the process ends.
type partial struct {
	*os.File
	final string
}

// newPartial makes one beside final, for its owner alone, and removes those that killed
// commands left for the same name.
func newPartial(final string) (*partial, error) {
	sweepPartials(final)
	random := make([]byte, 8)
	rand.Read(random)
	file, err := os.OpenFile(final+".partial-"+hex.EncodeToString(random), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write to the directory %s: %w", filepath.Dir(final), cause(err))
	}
	p := &partial{file, final}
	if err := holdPartial(file); err != nil {
		return nil, errors.Join(err, p.discard())
	}
	return p, nil
}

// cause leaves out the name of a partial file, which says nothing to whoever reads it.
func cause(err error) error {
	if of := (*fs.PathError)(nil); errors.As(err, &of) {
		return of.Err
	}
	return err
}

var partialSuffix = regexp.MustCompile(`^\.partial-[0-9a-f]{16}$`)

// sweepPartials removes the partial files of final that no process holds. One that
// cannot be removed is in nobody's way.
func sweepPartials(final string) {
	dir, base := filepath.Dir(final), filepath.Base(final)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if name := e.Name(); len(name) > len(base) && name[:len(base)] == base &&
			e.Type().IsRegular() && partialSuffix.MatchString(name[len(base):]) {
			removeUnheld(filepath.Join(dir, name))
		}
	}
}

// place gives the file, which is on the disk, its name. Without replace the error wraps
// fs.ErrExist where there is a file of that name.
func (p *partial) place(replace bool) error {
	move := renameNew
	if replace {
		move = os.Rename
	}
	if err := move(p.Name(), p.final); err != nil {
		return err
	}
	return errors.Join(p.Close(), syncDir(filepath.Dir(p.final)))
}

// linkNew is renameNew where there is no such call.
func linkNew(from, to string) error {
	err := os.Link(from, to)
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	if err != nil {
		return fmt.Errorf("this file system gives no name without the risk of replacing another file: %w", err)
	}
	return os.Remove(from)
}

// discard removes the file under its first name.
func (p *partial) discard() error {
	err := errors.Join(os.Remove(p.Name()), p.Close())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// copyUntil copies until ctx ends, also while the other side does nothing. What is under
// way then goes on, and ends with the process.
func copyUntil(ctx context.Context, to io.Writer, from io.Reader) error {
	copied := make(chan error, 1)
	go func() { _, err := io.Copy(to, from); copied <- err }()
	select {
	case err := <-copied:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
