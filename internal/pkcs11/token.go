//go:build pkcs11

// Package pkcs11 makes and uses signing keys in a PKCS #11 token: an HSM, or SoftHSM. The
// private half of a key that is made here never leaves the token.
//
// Start at [Open]. token.go holds the connection: a pool of sessions, one for each
// operation under way, that is made anew when the token comes back; key.go makes, finds
// and destroys keys, sign.go signs, ref.go is how a key is named (RFC 7512).
//
// The package needs cgo, and the build tag pkcs11. It refuses a key that the token would
// give away, and logs in no more once a PIN was refused: tokens lock themselves.
package pkcs11

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	p11 "github.com/miekg/pkcs11"
)

// Options say which token to use.
type Options struct {
	// Module is the path of the shared library.
	Module string
	// Token is the label of the token.
	Token string
	// PINFile holds the PIN of the user, in one line.
	PINFile string
}

// Token is a token that is logged in to: safe for concurrent use. A process has one.
type Token struct {
	opts Options
	ctx  *p11.Ctx

	mu      sync.RWMutex // held for writing while the connection is made anew
	conn    *connection  // nil while there is none
	failed  error        // why there is none
	tried   time.Time    // when that was found
	refused bool         // the PIN was
}

// connection is one login.
type connection struct {
	slot   uint
	anchor p11.SessionHandle // never closed: a login ends with its last session
	idle   chan p11.SessionHandle
	busy   chan struct{} // one entry for each operation under way
}

// session is what an operation works with.
type session struct {
	*p11.Ctx
	*connection
	handle p11.SessionHandle
}

const (
	// maxSessions bounds the operations under way; more wait.
	maxSessions = 8
	// reconnectEvery is how often a token that is gone is looked for.
	reconnectEvery = time.Second
	maxPINFile     = 4096
)

// errGone is of a Token without a connection.
var errGone = errors.New("the token is not connected")

// Open loads the module and logs in to the token.
func Open(opts Options) (*Token, error) {
	if _, err := os.Stat(opts.Module); err != nil {
		return nil, fmt.Errorf("PKCS #11 module: %w", err)
	}
	t := &Token{opts: opts, ctx: p11.New(opts.Module)}
	if t.ctx == nil {
		return nil, fmt.Errorf("PKCS #11 module: %s cannot be loaded: it is no PKCS #11 library for this system", opts.Module)
	}
	if err := t.connect(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// Close logs out.
func (t *Token) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil {
		return nil
	}
	t.conn, t.failed, t.tried, t.refused = nil, errors.New("the token is closed"), time.Now(), true
	err := t.ctx.Finalize()
	if errors.Is(err, p11.Error(p11.CKR_CRYPTOKI_NOT_INITIALIZED)) {
		err = nil
	}
	t.ctx.Destroy()
	t.ctx = nil
	return err
}

// with runs one operation in a session of its own, and once more if the token had to be
// connected anew.
func (t *Token) with(op func(s session) error) error {
	used, err := t.try(op)
	if !lost(err) {
		return err
	}
	if again := t.reconnect(used); again != nil {
		return again
	}
	_, err = t.try(op)
	return err
}

func (t *Token) try(op func(s session) error) (*connection, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.conn == nil {
		return nil, errGone
	}
	t.conn.busy <- struct{}{}
	defer func() { <-t.conn.busy }()
	s, err := t.session()
	if err != nil {
		return t.conn, err
	}
	if err := op(s); err != nil {
		t.ctx.CloseSession(s.handle) // an operation may be half done in it
		return t.conn, err
	}
	t.conn.idle <- s.handle
	return t.conn, nil
}

// session takes an idle one, or opens one: busy bounds them, and so idle has room.
func (t *Token) session() (session, error) {
	s := session{Ctx: t.ctx, connection: t.conn}
	select {
	case s.handle = <-t.conn.idle:
		return s, nil
	default:
	}
	var err error
	s.handle, err = t.ctx.OpenSession(t.conn.slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
	return s, err
}

// lost says whether an error can be mended by a new connection: the token was away, or
// has begun anew and knows no handle of before.
func lost(err error) bool {
	if errors.Is(err, errGone) {
		return true
	}
	var code p11.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case p11.CKR_GENERAL_ERROR, p11.CKR_FUNCTION_FAILED, p11.CKR_CRYPTOKI_NOT_INITIALIZED,
		p11.CKR_SESSION_HANDLE_INVALID, p11.CKR_SESSION_CLOSED, p11.CKR_USER_NOT_LOGGED_IN,
		p11.CKR_DEVICE_ERROR, p11.CKR_DEVICE_REMOVED, p11.CKR_TOKEN_NOT_PRESENT, p11.CKR_TOKEN_NOT_RECOGNIZED,
		p11.CKR_SLOT_ID_INVALID, p11.CKR_KEY_HANDLE_INVALID, p11.CKR_OBJECT_HANDLE_INVALID:
		return true
	}
	return false
}

// reconnect replaces the connection that an operation failed with, unless that was
// done already.
func (t *Token) reconnect(used *connection) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn != nil && t.conn != used {
		return nil
	}
	if t.refused || t.failed != nil && time.Since(t.tried) < reconnectEvery {
		return t.failed
	}
	t.conn = nil
	t.ctx.Finalize() // many modules see a token that came back only when they begin anew
	return t.connect()
}

func (t *Token) connect() error {
	t.conn, t.failed = t.login()
	t.tried = time.Now()
	return t.failed
}

func (t *Token) login() (*connection, error) {
	pin, err := readPIN(t.opts.PINFile)
	if err != nil {
		return nil, err
	}
	if err := t.ctx.Initialize(); err != nil && !errors.Is(err, p11.Error(p11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return nil, fmt.Errorf("PKCS #11 module %s: %w", t.opts.Module, err)
	}
	slot, err := t.slot()
	if err != nil {
		return nil, err
	}
	n := t.sessionsOf(slot)
	c := &connection{slot: slot, idle: make(chan p11.SessionHandle, n), busy: make(chan struct{}, n)}
	if c.anchor, err = t.ctx.OpenSession(c.slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION); err != nil {
		return nil, t.errorf("%w", err)
	}
	err = t.ctx.Login(c.anchor, p11.CKU_USER, pin)
	if err == nil || errors.Is(err, p11.Error(p11.CKR_USER_ALREADY_LOGGED_IN)) {
		return c, nil
	}
	var code p11.Error
	if errors.As(err, &code) && code != p11.CKR_DEVICE_ERROR && code != p11.CKR_DEVICE_REMOVED {
		t.refused = true
	}
	return nil, t.errorf("the PIN in %s was refused (%w)", t.opts.PINFile, err)
}

// sessionsOf is how many sessions a token has for operations, beside the anchor.
func (t *Token) sessionsOf(slot uint) uint {
	info, err := t.ctx.GetTokenInfo(slot)
	most := min(info.MaxSessionCount-1, info.MaxRwSessionCount-1) // 0 is any number, and all ones is unknown
	if err != nil || most == 0 {
		return 1
	}
	return min(maxSessions, most)
}

// slot finds the one token with the label.
func (t *Token) slot() (found uint, err error) {
	slots, err := t.ctx.GetSlotList(true)
	if err != nil {
		return 0, t.errorf("%w", err)
	}
	var labels []string
	matches := 0
	for _, slot := range slots {
		info, err := t.ctx.GetTokenInfo(slot)
		if err != nil || info.Flags&p11.CKF_TOKEN_INITIALIZED == 0 {
			continue
		}
		labels = append(labels, fmt.Sprintf("%q", info.Label))
		if info.Label == t.opts.Token {
			found = slot
			matches++
		}
	}
	switch {
	case matches > 1:
		return 0, t.errorf("%d tokens have this label; give one of them another", matches)
	case matches == 0 && len(labels) == 0:
		return 0, t.errorf("it is not there, and the module %s has no other", t.opts.Module)
	case matches == 0:
		return 0, t.errorf("it is not there; the module %s has %s", t.opts.Module, strings.Join(labels, ", "))
	}
	return found, nil
}

func (t *Token) errorf(format string, args ...any) error {
	return fmt.Errorf("PKCS #11 token %q: "+format, append([]any{t.opts.Token}, args...)...)
}

// readPIN reads the file each time: the process keeps no PIN.
func readPIN(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("PIN of the PKCS #11 token: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("PIN of the PKCS #11 token: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("PIN of the PKCS #11 token: others may read or change %s (mode %04o): run chmod 600 %s", path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPINFile))
	if err != nil {
		return "", fmt.Errorf("PIN of the PKCS #11 token: %w", err)
	}
	pin := strings.TrimRight(string(text), "\r\n")
	if pin == "" || strings.ContainsAny(pin, "\r\n\x00") {
		return "", fmt.Errorf("PIN of the PKCS #11 token: %s does not hold one line with a PIN", path)
	}
	return pin, nil
}
