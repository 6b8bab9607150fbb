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
// meaning, and SettleSealingKey finishes what was stored or removes what was not; the
// latter behind a fence, since what was not stored yet may be on its way (fence.go).

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
	path, unlock, err := m.lockFile(ctx)
	if err != nil {
		return Resealed{}, err
	}
	defer unlock()
	m.changing.Lock()
	defer m.changing.Unlock()
	// What is stored is sealed with the key in memory: a new one that is found beside it
	// opens nothing.
	stored, err := m.load(ctx)
	if err != nil {
		return Resealed{}, err
	}
	if err := errors.Join(m.finishOwn(path), m.checkSealingKey()); err != nil {
		return Resealed{}, err
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
	next, err := m.makeNext(ctx, path, stored)
	if err != nil {
		return Resealed{}, err
	}
	if err := m.resealWith(ctx, path, next); err != nil {
		return Resealed{}, err
	}
	m.log.Info("the private keys are sealed with a new sealing key", "file", m.sealing.from, "keys", out.Keys)
	return out, finishReseal(path)
}

// lockFile locks the file of the sealing key, and returns it without links.
func (m *Manager) lockFile(ctx context.Context) (path string, unlock func(), err error) {
	m.changing.Lock()
	path = resolved(m.sealing.from)
	m.changing.Unlock() // who waits for the file keeps no change waiting
	unlock, err = lockSealingKey(ctx, path)
	return path, unlock, err
}

// finishOwn puts the key in memory in its place, if a change left it beside the old one.
// The file is locked.
func (m *Manager) finishOwn(path string) error {
	next, err := ReadSealingKey(nextSealingKey(path))
	if err != nil || next.ID() != m.sealing.ID() {
		return nil
	}
	return finishReseal(path)
}

// resolved is path without links; that of a missing file is the path itself.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// makeNext makes the new key beside the old one, in the place of one that a change
// left which failed.
func (m *Manager) makeNext(ctx context.Context, path string, stored Ring) (*SealingKey, error) {
	if err := removeNext(ctx, m.store, m.sealing, stored, path); err != nil {
		return nil, err
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
// decides; while nobody knows that, next stays where it is.
func (m *Manager) resealWith(ctx context.Context, path string, next *SealingKey) error {
	old := m.sealing
	failed := m.changeTo(ctx, next, func(c *change) error { return c.reseal(old, next) })
	switch {
	case failed == nil, m.sealing == next:
		return nil
	case errors.Is(failed, errUnsettled):
		return fmt.Errorf("%w; the new sealing key stays at %s: keep it until signet keys reseal, or the next start, has found out", failed, nextSealingKey(path))
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

// removeNext removes a new key beside path, if there is one, once no write can be made any
// more that would seal the ring with it. ring is what is stored, sealed with current.
func removeNext(ctx context.Context, store Store, current *SealingKey, ring Ring, path string) error {
	if _, err := os.Lstat(nextSealingKey(path)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := fence(ctx, store, current, ring); err != nil {
		return fmt.Errorf("%w: %s was left by a change that may still be made: %w", ErrSealingKey, nextSealingKey(path), err)
	}
	if err := os.Remove(nextSealingKey(path)); err != nil {
		return fmt.Errorf("%w: %w", ErrSealingKey, err)
	}
	return nil
}

// Settling says where SettleSealingKey looks, and what it may do.
type Settling struct {
	Store Store
	// Path is the file of the sealing key.
	Path string
	// Own: the caller is the server of this data directory, or has the database to itself.
	// Others leave the files as they are.
	Own bool
	// Fresh allows to make a sealing key where no ring has keys.
	Fresh bool
	Log   *slog.Logger
}

// SettleSealingKey opens the sealing key for the stored ring, as OpenSealingKey does, after
// it has finished or undone a change of the sealing key that a crash interrupted.
func SettleSealingKey(ctx context.Context, s Settling) (*SealingKey, error) {
	real := resolved(s.Path)
	unlock, err := lockSealingKey(ctx, real)
	switch {
	case errors.Is(err, errSealLocked), ctx.Err() != nil:
		return nil, err
	case err != nil: // no such lock here
		s.Own = false
	default:
		defer unlock()
	}
	return s.settle(ctx, real)
}

// settle reads the ring while the file is locked: it may have changed before.
func (s *Settling) settle(ctx context.Context, real string) (*SealingKey, error) {
	ring, err := s.Store.LoadRing(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the keys: %w", err)
	}
	next, err := ReadSealingKey(nextSealingKey(real))
	if err == nil && ring.SealedBy == next.ID() {
		return s.finish(real, next)
	}
	absent := errors.Is(err, fs.ErrNotExist)
	key, err := OpenSealingKey(s.Path, s.Fresh && len(ring.Keys) == 0)
	if err != nil || absent || !s.Own || ring.SealedBy != key.ID() {
		return key, err // also if neither opens the ring: nothing is thrown away
	}
	if err := removeNext(ctx, s.Store, key, ring, real); err != nil {
		s.Log.Warn("a change of the sealing key was interrupted, and is not undone yet; the old one is in force", "file", s.Path, "error", err)
		return key, nil
	}
	s.Log.Warn("undid a change of the sealing key that was interrupted; the old one is in force", "file", s.Path)
	return key, nil
}

// finish puts the key in its place that the stored ring is sealed with.
func (s *Settling) finish(real string, next *SealingKey) (*SealingKey, error) {
	next.from = s.Path
	if !s.Own {
		return next, nil
	}
	if err := finishReseal(real); err != nil {
		return nil, err
	}
	s.Log.Warn("finished a change of the sealing key that was interrupted; the new one is in force: renew the backup of the file", "file", s.Path)
	return next, nil
}
