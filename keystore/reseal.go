package keystore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// A sealing key is changed in one step of the store, between two of the file system:
//
//	PATH.new is written ──► the ring, sealed with it, replaces the ring ──► PATH.new becomes PATH
//
// The ring says which key sealed it. Whatever is found after a crash therefore has one
// meaning, and SettleSealingKey finishes what was stored or removes what was not.

// nextSealingKey is where the new sealing key stands until it is the one.
func nextSealingKey(path string) string { return path + ".new" }

// Resealed says what a change of the sealing key did.
type Resealed struct {
	// Path is the file that holds the sealing key.
	Path string `json:"path"`
	// Keys counts the private halves that were sealed anew.
	Keys int `json:"keys"`
}

// Reseal makes a new sealing key, seals every private half and authenticates the ring
// with it, and puts it in the place of the old one, which opens the database no more.
// With dryRun it says what would be done, and changes nothing.
func (m *Manager) Reseal(ctx context.Context, dryRun bool) (Resealed, error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	if err := m.checkSealingKey(); err != nil {
		return Resealed{}, err
	}
	// What is stored is sealed with the key in memory: a new one that is found beside it
	// opens nothing.
	if _, err := m.load(ctx); err != nil {
		return Resealed{}, err
	}
	path, err := filepath.EvalSymlinks(m.sealing.from)
	if err != nil {
		return Resealed{}, fmt.Errorf("%w: %w", ErrSealingKey, err)
	}
	out := Resealed{Path: m.sealing.from}
	for _, k := range m.state.Load().ring.Keys {
		if k.Sealed != "" && !inVault(k.Sealed) {
			out.Keys++
		}
	}
	if dryRun {
		return out, nil
	}
	next, err := m.makeNext(path)
	if err != nil {
		return Resealed{}, err
	}
	if err := m.resealWith(ctx, path, next); err != nil {
		return Resealed{}, err
	}
	m.log.Info("the private keys are sealed with a new sealing key", "file", m.sealing.from, "keys", out.Keys)
	return out, finishReseal(path)
}

// makeNext makes the new key beside the old one, in the place of one that a change
// left which failed.
func (m *Manager) makeNext(path string) (*SealingKey, error) {
	if err := os.Remove(nextSealingKey(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrSealingKey, err)
	}
	if err := CreateSealingKey(nextSealingKey(path)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealingKey, err)
	}
	next, err := ReadSealingKey(nextSealingKey(path))
	if err != nil {
		return nil, err
	}
	next.from = m.sealing.from
	return next, nil
}

// resealWith stores the ring under next. If that is reported as failed, what is stored
// decides; if that cannot be read, the next start does.
func (m *Manager) resealWith(ctx context.Context, path string, next *SealingKey) error {
	old := m.sealing
	failed := m.changeTo(ctx, next, func(c *change) error { return c.reseal(old, next) })
	if failed == nil || m.sealing == next {
		return nil
	}
	ctx, cancel := patient(ctx)
	defer cancel()
	if _, err := m.load(ctx); err != nil {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, os.Remove(nextSealingKey(path)))
}

// reseal seals every private half anew, with a nonce of its own.
func (c *change) reseal(from, to *SealingKey) error {
	for i := range c.Keys {
		k := &c.Keys[i]
		if k.Sealed == "" || inVault(k.Sealed) {
			continue
		}
		private, err := from.unseal(k.KID, k.Sealed)
		if err != nil {
			return err
		}
		if k.Sealed, err = to.seal(private); err != nil {
			return err
		}
	}
	return nil
}

// finishReseal puts the new key in the place of the old one.
func finishReseal(path string) error {
	if err := os.Rename(nextSealingKey(path), path); err != nil {
		return fmt.Errorf("%w: the database has the new key, which could not take the place of the old: rename %s to %s: %w",
			ErrSealingKey, nextSealingKey(path), path, err)
	}
	return syncDir(filepath.Dir(path))
}

// CheckSealingKey looks whether the file still holds the sealing key that this process
// has in memory: the next start will need it.
func (m *Manager) CheckSealingKey() error {
	m.changing.Lock()
	defer m.changing.Unlock()
	return m.checkSealingKey()
}

func (m *Manager) checkSealingKey() error {
	key, err := ReadSealingKey(m.sealing.from)
	if err == nil && key.ID() != m.sealing.ID() {
		err = fmt.Errorf("%w: %s is not the one that the keys are sealed with", ErrSealingKey, m.sealing.from)
	}
	switch {
	case errors.Is(err, ErrSealingKeyOpen):
		return fmt.Errorf("%w; this process goes on with the one it has, and the next start refuses the file as it is", err)
	case err != nil:
		return fmt.Errorf("%w; this process goes on with the one it has, and the next start needs the file: restore it from its backup", err)
	}
	return nil
}

// SettleSealingKey opens the sealing key at path for the stored ring, as OpenSealingKey
// does, after it has finished or undone a change of the sealing key that a crash
// interrupted. The caller must own the database. fresh allows to make a key where the
// ring has none.
func SettleSealingKey(path string, ring Ring, fresh bool, log *slog.Logger) (*SealingKey, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil { // a missing file too
		real = path
	}
	next, err := ReadSealingKey(nextSealingKey(real))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return OpenSealingKey(path, fresh)
	case err == nil && ring.SealedBy == next.ID():
		return finishInterrupted(path, real, next, log)
	}
	key, err := OpenSealingKey(path, fresh)
	if err != nil || ring.SealedBy != "" && ring.SealedBy != key.ID() {
		return key, err // neither opens the ring: nothing is thrown away
	}
	if err := os.Remove(nextSealingKey(real)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealingKey, err)
	}
	log.Warn("undid a change of the sealing key that was interrupted; the old one is in force", "file", path)
	return key, nil
}

func finishInterrupted(path, real string, next *SealingKey, log *slog.Logger) (*SealingKey, error) {
	if err := finishReseal(real); err != nil {
		return nil, err
	}
	next.from = path
	log.Warn("finished a change of the sealing key that was interrupted; the new one is in force: renew the backup of the file", "file", path)
	return next, nil
}
