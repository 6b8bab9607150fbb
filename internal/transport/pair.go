package transport

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// maxFile is what is read of one file: long chains are a tenth of it.
const maxFile = 256 << 10

// What is wrong with a pair of files.
var (
	ErrExpired     = errors.New("has expired")
	ErrNotYetValid = errors.New("is not valid yet")
	ErrMismatch    = errors.New("the private key is not that of the certificate")
	ErrEncrypted   = errors.New("the private key is encrypted, and nobody is there to give its password")
)

// readPair reads a certificate, its chain and its key, and refuses what no client would
// take now.
func readPair(certFile, keyFile string, now time.Time) (*tls.Certificate, error) {
	certPEM, err := readLimited(certFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := readLimited(keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", certFile, keyFile, pairFault(err, keyPEM))
	}
	switch leaf := pair.Leaf; {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("%s: the certificate %w: %s was its last moment", certFile, ErrExpired, stamp(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("%s: the certificate %w: it is from %s on", certFile, ErrNotYetValid, stamp(leaf.NotBefore))
	}
	return &pair, nil
}

// pairFault gives the two usual faults a name. The texts of crypto/tls hold nothing of a key.
func pairFault(err error, keyPEM []byte) error {
	block, _ := pem.Decode(keyPEM)
	switch {
	case block != nil && (block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != ""):
		return ErrEncrypted
	case strings.Contains(err.Error(), "does not match public key"):
		return ErrMismatch
	}
	return errors.New(strings.TrimPrefix(err.Error(), "tls: "))
}

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var text bytes.Buffer
	n, err := io.Copy(&text, io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if n > maxFile {
		return nil, fmt.Errorf("%s is longer than the %d KiB that a certificate may have", path, maxFile>>10)
	}
	return text.Bytes(), nil
}

// fileStamps tell whether the files have changed.
type fileStamps struct{ cert, key fileStamp }

func (f *Files) stamps() fileStamps { return fileStamps{stampOf(f.opts.Cert), stampOf(f.opts.Key)} }

func (s fileStamps) same(o fileStamps) bool { return s.cert.same(o.cert) && s.key.same(o.key) }

// fileStamp is what the file system says of a file, symbolic links followed; nil if it
// says nothing.
type fileStamp struct{ info fs.FileInfo }

func stampOf(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info}
}

func (s fileStamp) same(o fileStamp) bool {
	if s.info == nil || o.info == nil {
		return s.info == nil && o.info == nil
	}
	return os.SameFile(s.info, o.info) && s.info.ModTime().Equal(o.info.ModTime()) &&
		s.info.Size() == o.info.Size() && s.info.Mode() == o.info.Mode()
}

func (s fileStamp) mode() fs.FileMode {
	if s.info == nil {
		return 0
	}
	return s.info.Mode().Perm()
}
