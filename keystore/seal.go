package keystore

import (
	"bufio"
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// SealingKey encrypts the private halves of the signing keys at rest. It lives
// outside of the database.
type SealingKey struct {
	secret []byte // 256 bits, for AES-256-GCM
	from   string // the file it was read from, for errors
	// authenticates: the key was made for rings with a MAC, and takes none without.
	authenticates bool
}

// authenticating begins the line of a sealing key that was made for rings with a MAC.
// Whoever can write the database cannot make such a ring pass for one from before MACs.
const authenticating = "2."

// sealingKeyFileLimit bounds what is read of a sealing key file.
const sealingKeyFileLimit = 4096

// CreateSealingKey makes a sealing key of 256 random bits and writes it to path,
// with mode 0600. It never replaces a file: the error then wraps fs.ErrExist.
func CreateSealingKey(path string) error {
	secret := make([]byte, 32)
	rand.Read(secret)
	text := "# Signet's sealing key. It opens the private signing keys in the database:\n" +
		"# keep a copy of it, and keep it apart from the copies of the database.\n" +
		"# Backups ask for it by its name, " + (&SealingKey{secret: secret}).ID() + ".\n" +
		authenticating + base64.RawURLEncoding.EncodeToString(secret) + "\n"
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create the sealing key: %w", err)
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write the sealing key: %w", err), os.Remove(path))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	return nil
}

// ReadSealingKey reads the file that CreateSealingKey wrote. Every error names
// the file and wraps ErrSealingKey; a missing file also wraps fs.ErrNotExist.
func ReadSealingKey(path string) (*SealingKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealingKey, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealingKey, err)
	}
	if mode := info.Mode().Perm(); mode&0o037 != 0 {
		return nil, fmt.Errorf("%w: %w %s (mode %04o): run chmod 600 %s",
			ErrSealingKey, ErrSealingKeyOpen, path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, sealingKeyFileLimit))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealingKey, err)
	}
	key, err := parseSealingKey(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s %v: restore the file from its backup", ErrSealingKey, path, err)
	}
	key.from = path
	return key, nil
}

// parseSealingKey takes one line of 43 base64url characters among comments.
func parseSealingKey(text []byte) (*SealingKey, error) {
	var found *SealingKey
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		line, authenticates := strings.CutPrefix(line, authenticating)
		secret, err := base64.RawURLEncoding.Strict().DecodeString(line)
		if err != nil || len(secret) != 32 || found != nil {
			return nil, errors.New("does not hold a sealing key")
		}
		found = &SealingKey{secret: secret, authenticates: authenticates}
	}
	if found == nil {
		return nil, errors.New("holds no sealing key")
	}
	return found, nil
}

// OpenSealingKey reads the key at path or, only if fresh and there is no file,
// makes one there: while stored keys depend on a sealing key, a new one would
// only hide that the old one is lost.
func OpenSealingKey(path string, fresh bool) (*SealingKey, error) {
	if fresh {
		if err := removeEmpty(path); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSealingKey, err)
		}
	}
	key, err := ReadSealingKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if !fresh {
		return nil, fmt.Errorf("%w: %s is missing, and the signing keys in the database cannot be opened without it: restore the file from its backup, or name its place with --seal-key",
			ErrSealingKey, path)
	}
	if err := CreateSealingKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: %w", ErrSealingKey, err)
	}
	return ReadSealingKey(path)
}

// removeEmpty removes a file without content: what a crash leaves of a first start.
func removeEmpty(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > 0 {
		return nil
	}
	return os.Remove(path)
}

// jwkMediaType is the cty of an encrypted JWK (RFC 7517 §7).
const jwkMediaType = "jwk+json"

// seal encrypts a private JWK as a compact JWE (RFC 7516: dir, A256GCM). Its kid
// stands in the protected header and so is authenticated with the ciphertext:
// a sealed key cannot be moved to another record.
func (s *SealingKey) seal(key jwk.Key) (string, error) {
	plain, err := json.Marshal(key)
	if err != nil {
		return "", fmt.Errorf("seal key %s: %w", key.KeyID(), err)
	}
	header := jwe.NewHeaders()
	if err := errors.Join(header.Set(jwe.KeyIDKey, key.KeyID()), header.Set(jwe.ContentTypeKey, jwkMediaType)); err != nil {
		return "", fmt.Errorf("seal key %s: %w", key.KeyID(), err)
	}
	sealed, err := jwe.Encrypt(plain, jwe.WithKey(jwa.DIRECT, s.secret),
		jwe.WithContentEncryption(jwa.A256GCM), jwe.WithProtectedHeaders(header))
	if err != nil {
		return "", fmt.Errorf("seal key %s: %w", key.KeyID(), err)
	}
	return string(sealed), nil
}

// unseal decrypts what seal made for the key kid.
func (s *SealingKey) unseal(kid, sealed string) (jwk.Key, error) {
	refuse := func(why string) error { return s.refuse(kid, why) }
	message, err := jwe.ParseString(sealed)
	if err != nil {
		return nil, refuse("the sealed key is damaged")
	}
	header := message.ProtectedHeaders()
	if header.KeyID() != kid || header.ContentEncryption() != jwa.A256GCM || header.ContentType() != jwkMediaType {
		return nil, refuse("what is stored was sealed for something else")
	}
	plain, err := jwe.Decrypt([]byte(sealed), jwe.WithKey(jwa.DIRECT, s.secret))
	if err != nil {
		return nil, refuse("decryption failed")
	}
	key, err := jwk.ParseKey(plain)
	if err != nil {
		return nil, refuse("what it decrypts to is not a key")
	}
	if actual, err := thumbprint(key); err != nil || actual != kid {
		return nil, refuse("its thumbprint is another")
	}
	return key, nil
}

// refuse says of which key of the database, if it is of one, and why.
func (s *SealingKey) refuse(kid, why string) error {
	what := "the keys"
	if kid != "" {
		what = "key " + kid
	}
	return fmt.Errorf("%w: %s does not open %s of the database (%s): it belongs to another database or was replaced; restore the file from its backup",
		ErrSealingKey, s.from, what, why)
}

// Derive returns a key of 256 bits for a purpose that has nothing to do with signing
// keys; it tells nothing of the sealing key or of other purposes (RFC 5869).
func (s *SealingKey) Derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, s.secret, nil, "signet "+purpose, 32)
	if err != nil {
		panic(err) // only of a length that HKDF cannot give
	}
	return key
}
