package keystore

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/youmark/pkcs8"

	"signet/jwks"
)

// ForeignKey is a private key that was made elsewhere, as a file brings it.
type ForeignKey struct {
	private crypto.Signer
	// Alg and KID are what a JWK says of itself. The kid is not taken: here it is the
	// thumbprint.
	Alg, KID string
}

// PKCS8 is the private key in DER (RFC 5208), as ImportRequest takes it.
func (k *ForeignKey) PKCS8() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.private) }

// MaxKeyFile bounds a file that ReadPrivateKey takes, in bytes.
const MaxKeyFile = 64 << 10

// maxDER and maxMember bound a key and a number of a JWK: those of an RSA key of 8192 bits
// are smaller. Checking whether larger numbers are prime takes minutes.
const (
	maxDER    = 8 << 10
	maxMember = 1400
)

var errLargeKey = fmt.Errorf("%w: it is larger than an RSA key of 8192 bits", ErrKeyFile)

// ReadPrivateKey reads the one private key in text: PEM with PKCS#1, PKCS#8, SEC 1 or
// encrypted PKCS#8, or a JWK. passphrase is asked for an encrypted key alone. Errors
// wrap ErrKeyFile and say nothing of the key.
func ReadPrivateKey(text []byte, passphrase func() ([]byte, error)) (*ForeignKey, error) {
	var k *ForeignKey
	var err error
	switch {
	case len(text) > MaxKeyFile:
		err = fmt.Errorf("%w: it has more than %d KiB", ErrKeyFile, MaxKeyFile>>10)
	case bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")):
		k, err = readJWK(text)
	default:
		k, err = readPEM(text, passphrase)
	}
	if err != nil {
		return nil, err
	}
	return k, checkPrivate(k.private)
}

func readPEM(text []byte, passphrase func() ([]byte, error)) (*ForeignKey, error) {
	var found *pem.Block
	public := false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "PUBLIC KEY", block.Type == "RSA PUBLIC KEY", block.Type == "CERTIFICATE":
			public = true
		case block.Type == "EC PARAMETERS": // what openssl ecparam -genkey writes before the key
		case found != nil:
			return nil, fmt.Errorf("%w: it holds several; one file brings one key", ErrKeyFile)
		default:
			found = block
		}
	}
	switch {
	case found == nil && public:
		return nil, fmt.Errorf("%w: it holds a public key, and only the private one signs", ErrKeyFile)
	case found == nil:
		return nil, fmt.Errorf("%w: it is neither PEM nor a JWK", ErrKeyFile)
	}
	private, err := parseBlock(found, passphrase)
	if err != nil {
		return nil, err
	}
	return newForeignKey(private)
}

// errPassphrase does not say whether the passphrase or the file is wrong: nothing
// tells the two apart.
var errPassphrase = errors.New("the passphrase does not open it, or it is damaged")

func parseBlock(block *pem.Block, passphrase func() ([]byte, error)) (any, error) {
	der := block.Bytes
	if len(der) > maxDER {
		return nil, errLargeKey
	}
	switch block.Type {
	case "RSA PRIVATE KEY", "EC PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, fmt.Errorf("%w: it has the old encryption of PEM, which protects little: openssl pkcs8 -topk8 -in FILE -out NEW encrypts it anew", ErrKeyFile)
		}
		if block.Type == "RSA PRIVATE KEY" {
			return parsed(x509.ParsePKCS1PrivateKey(der))
		}
		return parsed(x509.ParseECPrivateKey(der))
	case "PRIVATE KEY":
		return parsed(x509.ParsePKCS8PrivateKey(der))
	case "ENCRYPTED PRIVATE KEY":
		phrase, err := passphrase()
		if err != nil {
			return nil, err
		}
		private, _, err := pkcs8.ParsePrivateKey(der, phrase)
		if err != nil { // its text can be of what a wrong passphrase decrypts to
			return nil, fmt.Errorf("%w: %w", ErrKeyFile, errPassphrase)
		}
		return private, nil
	case "OPENSSH PRIVATE KEY":
		return nil, fmt.Errorf("%w: it has the format of OpenSSH: ssh-keygen -p -m PKCS8 -f COPY converts a copy of it", ErrKeyFile)
	}
	return nil, fmt.Errorf("%w: it holds a PEM block %.40q", ErrKeyFile, block.Type)
}

func parsed[K any](private K, err error) (any, error) {
	if err == nil {
		return private, nil
	}
	why := strings.TrimPrefix(err.Error(), "x509: ")
	if strings.Contains(why, "asn1:") || strings.Contains(why, "use Parse") { // texts for programmers
		why = "it is damaged, or not what its PEM block says"
	}
	return nil, fmt.Errorf("%w: %s", ErrKeyFile, why)
}

func newForeignKey(private any) (*ForeignKey, error) {
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: it does not sign (%T)", ErrKeyFile, private)
	}
	return &ForeignKey{private: signer}, nil
}

// readJWK reads a JWK, or a set with one (RFC 7517 §4, §5).
func readJWK(text []byte) (*ForeignKey, error) {
	var members struct {
		Kty, Use, Alg, Kid string
		D, N, P, Q         string
		DP, DQ, QI         string
		Oth                json.RawMessage
		KeyOps             []string          `json:"key_ops"`
		Keys               []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(text, &members) != nil {
		return nil, fmt.Errorf("%w: it is not a JWK", ErrKeyFile)
	}
	switch {
	case members.Kty == "" && len(members.Keys) == 1:
		return readJWK(members.Keys[0])
	case members.Kty == "" && len(members.Keys) > 1:
		return nil, fmt.Errorf("%w: it holds several; one file brings one key", ErrKeyFile)
	case members.Kty == "oct":
		return nil, fmt.Errorf("%w: it is symmetric: whoever verifies with it could sign", ErrKeyFile)
	case members.Kty != "" && members.D == "":
		return nil, fmt.Errorf("%w: it holds a public key, and only the private one signs", ErrKeyFile)
	case members.Use != "" && members.Use != "sig", members.KeyOps != nil && !slices.Contains(members.KeyOps, "sign"):
		return nil, fmt.Errorf("%w: it is not for signatures (use, key_ops)", ErrKeyFile)
	case max(len(members.D), len(members.N), len(members.P), len(members.Q),
		len(members.DP), len(members.DQ), len(members.QI)) > maxMember:
		return nil, errLargeKey
	case members.Oth != nil:
		return nil, fmt.Errorf("%w: RSA with more than two primes", ErrKeyFile)
	}
	private, err := rawJWK(text)
	if err != nil {
		return nil, err
	}
	k, err := newForeignKey(private)
	if err != nil {
		return nil, err
	}
	k.Alg, k.KID = members.Alg, members.Kid
	return k, nil
}

// rawJWK keeps the library's error texts back: they can quote members.
func rawJWK(text []byte) (private any, err error) {
	key, err := jwk.ParseKey(text)
	if err == nil {
		err = key.Raw(&private)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: a member of the JWK is missing, or its type or curve is not known here", ErrKeyFile)
	}
	return private, nil
}

// checkPrivate refuses a key that is weak, of no use here, or whose halves do not
// belong together.
func checkPrivate(private crypto.Signer) error {
	var err error
	switch key := private.(type) {
	case *rsa.PrivateKey:
		err = checkRSA(key)
	case *ecdsa.PrivateKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return fmt.Errorf("%w: curve %s; ES256 takes P-256, ES384 takes P-384", ErrKeyFile, key.Params().Name)
		}
	case ed25519.PrivateKey:
		if len(key) != ed25519.PrivateKeySize {
			err = errors.New("Ed25519 key of another length")
		}
	default:
		err = errors.New("its type is not known here: RSA, EC and Ed25519 are")
	}
	if err == nil {
		err = checkPair(private)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	return nil
}

func checkRSA(key *rsa.PrivateKey) error {
	if err := jwks.CheckRSA(&key.PublicKey); err != nil {
		return err
	}
	if len(key.Primes) != 2 || key.Primes[0] == nil || key.Primes[1] == nil {
		return errors.New("an RSA key needs its two primes")
	}
	if key.Validate() != nil {
		return errors.New("the numbers of the RSA key do not belong together")
	}
	return nil
}

// checkPair signs and verifies once.
func checkPair(private crypto.Signer) (err error) {
	message := []byte("signet imports a key")
	digest := sha256.Sum256(message)
	good := false
	switch key := private.(type) {
	case *rsa.PrivateKey:
		var signature []byte
		if signature, err = key.Sign(nil, digest[:], crypto.SHA256); err == nil {
			good = rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature) == nil
		}
	case *ecdsa.PrivateKey:
		var signature []byte
		if signature, err = key.Sign(nil, digest[:], crypto.SHA256); err == nil {
			good = ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature)
		}
	case ed25519.PrivateKey:
		derived := ed25519.NewKeyFromSeed(key.Seed())
		good = derived.Equal(key) && ed25519.Verify(key.Public().(ed25519.PublicKey), message, ed25519.Sign(key, message))
	}
	if err != nil || !good {
		return errors.New("its private and public halves do not belong together")
	}
	return nil
}

// algorithmsOf are the algorithms that a key can be used with.
func algorithmsOf(private crypto.Signer) (what string, algs []string) {
	switch key := private.(type) {
	case *rsa.PrivateKey:
		return "an RSA key", []string{"RS256", "PS256"}
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P384() {
			return "a P-384 key", []string{"ES384"}
		}
		return "a P-256 key", []string{"ES256"}
	default:
		return "an Ed25519 key", []string{"EdDSA"}
	}
}

// chooseAlgorithm is the one algorithm of a key from now on (RFC 8725 §3.1): what was
// asked for, or else the first that fits and is configured.
func chooseAlgorithm(private crypto.Signer, asked string, configured []string) (string, error) {
	what, fits := algorithmsOf(private)
	if asked != "" && !slices.Contains(fits, asked) {
		return "", fmt.Errorf("%w: %s signs with %s, not with %.20q", ErrAlgorithm, what, strings.Join(fits, " or "), asked)
	}
	if asked != "" {
		fits = []string{asked}
	}
	for _, alg := range fits {
		if slices.Contains(configured, alg) {
			return alg, nil
		}
	}
	return "", fmt.Errorf("%w: %s signs with %s, and keys.algorithms has %v", ErrAlgorithm, what, strings.Join(fits, " or "), configured)
}
