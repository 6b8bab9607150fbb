package keystore

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/youmark/pkcs8"
)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newEC(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	return must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(curve, rand.Reader))
}

var rsaOnce = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newRSA(t testing.TB) *rsa.PrivateKey { t.Helper(); return must[*rsa.PrivateKey](t)(rsaOnce()) }

func pkcs8DER(t testing.TB, private any) []byte {
	t.Helper()
	return must[[]byte](t)(x509.MarshalPKCS8PrivateKey(private))
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// jwkOf is private as a JWK with other members set, or removed where they are nil.
func jwkOf(t testing.TB, private any, members map[string]any) []byte {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(must[[]byte](t)(json.Marshal(must[jwk.Key](t)(jwk.FromRaw(private)))), &object); err != nil {
		t.Fatal(err)
	}
	maps.Copy(object, members)
	maps.DeleteFunc(object, func(_ string, v any) bool { return v == nil })
	return []byte(asJSON(t, object))
}

func noPassphrase() ([]byte, error) { return nil, errors.New("a passphrase was asked for") }

func TestKeysThatAreRead(t *testing.T) {
	rsaKey, p256, p384 := newRSA(t), newEC(t, elliptic.P256()), newEC(t, elliptic.P384())
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1 := must[[]byte](t)(x509.MarshalECPrivateKey(p256))
	certificate := pemOf("CERTIFICATE", []byte("not looked at"))
	for name, c := range map[string]struct {
		text []byte
		want crypto.Signer
	}{
		"PKCS #1":                    {pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), rsaKey},
		"PKCS #8, RSA":               {pemOf("PRIVATE KEY", pkcs8DER(t, rsaKey)), rsaKey},
		"PKCS #8, EC":                {pemOf("PRIVATE KEY", pkcs8DER(t, p384)), p384},
		"PKCS #8, Ed25519":           {pemOf("PRIVATE KEY", pkcs8DER(t, ed)), ed},
		"SEC 1":                      {pemOf("EC PRIVATE KEY", sec1), p256},
		"SEC 1 after its parameters": {append(pemOf("EC PARAMETERS", []byte{6, 1, 1}), pemOf("EC PRIVATE KEY", sec1)...), p256},
		"with a certificate":         {append(certificate, pemOf("EC PRIVATE KEY", sec1)...), p256},
		"JWK, RSA":                   {jwkOf(t, rsaKey, nil), rsaKey},
		"JWK, EC":                    {jwkOf(t, p384, map[string]any{"use": "sig", "key_ops": []string{"sign"}}), p384},
		"JWK, Ed25519":               {jwkOf(t, ed, nil), ed},
		"JWK Set":                    {[]byte(`{"keys":[` + string(jwkOf(t, p256, nil)) + `]}`), p256},
	} {
		k, err := ReadPrivateKey(c.text, noPassphrase)
		if err != nil || !k.private.(interface{ Equal(crypto.PrivateKey) bool }).Equal(c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	k, err := ReadPrivateKey(jwkOf(t, p256, map[string]any{"kid": "their kid", "alg": "ES256"}), noPassphrase)
	if err != nil || k.KID != "their kid" || k.Alg != "ES256" {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestEncryptedKeys(t *testing.T) {
	p256 := newEC(t, elliptic.P256())
	for name, opts := range map[string]*pkcs8.Opts{
		"PBKDF2": {Cipher: pkcs8.AES256CBC, KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: 1000, HMACHash: crypto.SHA256}},
		"scrypt": {Cipher: pkcs8.AES256CBC, KDFOpts: pkcs8.ScryptOpts{SaltSize: 16, CostParameter: 1 << 10, BlockSize: 8, ParallelizationParameter: 1}},
	} {
		text := pemOf("ENCRYPTED PRIVATE KEY", must[[]byte](t)(pkcs8.MarshalPrivateKey(p256, []byte("open it"), opts)))
		k, err := ReadPrivateKey(text, func() ([]byte, error) { return []byte("open it"), nil })
		if err != nil || !p256.Equal(k.private) {
			t.Errorf("%s: %v", name, err)
		}
		for range 300 { // a wrong passphrase can decrypt to a right padding
			_, err = ReadPrivateKey(text, func() ([]byte, error) { return []byte(rand.Text()), nil })
			if !errors.Is(err, ErrKeyFile) || !errors.Is(err, errPassphrase) {
				t.Fatalf("%s: a wrong passphrase: %v", name, err)
			}
		}
	}
	if _, err := ReadPrivateKey(pemOf("ENCRYPTED PRIVATE KEY", nil), noPassphrase); err == nil || !strings.Contains(err.Error(), "asked for") {
		t.Errorf("an encrypted key whose passphrase is not to be had: %v", err)
	}
}

// rocaRSA makes a key as the flawed generator did: its primes are powers of 65537
// modulo the product of the first primes.
func rocaRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	product := big.NewInt(1)
	for n, count := int64(2), 0; count < 126; n++ {
		if big.NewInt(n).ProbablyPrime(20) {
			product.Mul(product, big.NewInt(n))
			count++
		}
	}
	e := big.NewInt(65537)
	prime := func() *big.Int {
		for {
			a := must[*big.Int](t)(rand.Int(rand.Reader, product))
			k := must[*big.Int](t)(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(1024-product.BitLen()))))
			p := k.Mul(k, product)
			p.Add(p, a.Exp(e, a, product))
			rest := new(big.Int).Mod(p, e)
			if p.BitLen() == 1024 && p.Bit(1022) == 1 && rest.Cmp(big.NewInt(1)) != 0 && p.ProbablyPrime(8) {
				return p
			}
		}
	}
	return rsaOf(prime(), prime())
}

func rsaOf(p, q *big.Int) *rsa.PrivateKey {
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	return &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537},
		D:         new(big.Int).ModInverse(big.NewInt(65537), phi), Primes: []*big.Int{p, q},
	}
}

func smallRSA(t testing.TB, bits int) []byte {
	t.Helper()
	p, q := must[*big.Int](t)(rand.Prime(rand.Reader, bits/2)), must[*big.Int](t)(rand.Prime(rand.Reader, bits/2))
	return jwkOf(t, rsaOf(p, q), nil)
}

func TestKeysThatAreNotRead(t *testing.T) {
	rsaKey, p256 := newRSA(t), newEC(t, elliptic.P256())
	ec := pemOf("PRIVATE KEY", pkcs8DER(t, p256))
	public := pemOf("PUBLIC KEY", must[[]byte](t)(x509.MarshalPKIXPublicKey(&p256.PublicKey)))
	other := jwkOf(t, newEC(t, elliptic.P256()), nil)
	var otherMembers map[string]any
	if err := json.Unmarshal(other, &otherMembers); err != nil {
		t.Fatal(err)
	}
	three := *rsaKey
	three.E = 3
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"nothing":               {nil, "neither PEM nor a JWK"},
		"text":                  {[]byte("a secret"), "neither PEM nor a JWK"},
		"DER":                   {pkcs8DER(t, p256), "neither PEM nor a JWK"},
		"too large":             {bytes.Repeat([]byte("#"), MaxKeyFile+1), "more than 64 KiB"},
		"a large key":           {pemOf("PRIVATE KEY", make([]byte, maxDER+1)), "larger than an RSA key of 8192 bits"},
		"a large JWK":           {jwkOf(t, rsaKey, map[string]any{"p": strings.Repeat("A", maxMember+1)}), "larger than an RSA key of 8192 bits"},
		"public PEM":            {public, "holds a public key"},
		"certificate":           {pemOf("CERTIFICATE", []byte("x")), "holds a public key"},
		"public JWK":            {jwkOf(t, p256, map[string]any{"d": nil}), "holds a public key"},
		"two keys":              {slices.Concat(ec, ec), "holds several"},
		"two JWKs":              {[]byte(`{"keys":[` + string(other) + `,` + string(other) + `]}`), "holds several"},
		"another block":         {pemOf("DSA PRIVATE KEY", nil), `holds a PEM block "DSA PRIVATE KEY"`},
		"OpenSSH":               {pemOf("OPENSSH PRIVATE KEY", nil), "ssh-keygen"},
		"old PEM encryption":    {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}}), "openssl pkcs8 -topk8"},
		"damaged PKCS #8":       {pemOf("PRIVATE KEY", []byte{1, 2}), "damaged, or not what its PEM block says"},
		"symmetric":             {[]byte(`{"kty":"oct","k":"AAAA"}`), "symmetric"},
		"for encryption":        {jwkOf(t, p256, map[string]any{"use": "enc"}), "not for signatures"},
		"for verifying":         {jwkOf(t, p256, map[string]any{"key_ops": []string{"verify"}}), "not for signatures"},
		"unknown type":          {[]byte(`{"kty":"AKP","d":"AAAA"}`), "not known here"},
		"RSA 1024":              {smallRSA(t, 1024), "RSA modulus of 1024 bits; the least is 2048"},
		"RSA 512, PKCS #1":      {pemOf("RSA PRIVATE KEY", []byte{0x30, 0}), "not a key that can be imported: "},
		"exponent 3":            {jwkOf(t, &three, nil), "RSA exponent"},
		"ROCA":                  {jwkOf(t, rocaRSA(t), nil), "fingerprint of ROCA"},
		"RSA without primes":    {jwkOf(t, rsaKey, map[string]any{"p": nil, "q": nil, "dp": nil, "dq": nil, "qi": nil}), "not a key that can be imported: "},
		"three primes":          {jwkOf(t, rsaKey, map[string]any{"oth": []any{}}), "more than two primes"},
		"RSA of two keys":       {jwkOf(t, rsaKey, map[string]any{"d": "AQAB"}), "do not belong together"},
		"P-521":                 {pemOf("PRIVATE KEY", pkcs8DER(t, newEC(t, elliptic.P521()))), "curve P-521; ES256 takes P-256, ES384 takes P-384"},
		"P-224":                 {pemOf("PRIVATE KEY", pkcs8DER(t, newEC(t, elliptic.P224()))), "curve P-224"},
		"halves of two keys":    {jwkOf(t, p256, map[string]any{"d": otherMembers["d"]}), "do not belong together"},
		"X25519 and not a sign": {[]byte(`{"kty":"OKP","crv":"X25519","d":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`), "not a key that can be imported: "},
	} {
		k, err := ReadPrivateKey(c.text, noPassphrase)
		if !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want %q", name, k, err, c.want)
		}
	}
}

func (f *fixture) importKey(req ImportRequest) Takeover {
	f.t.Helper()
	return must[Takeover](f.t)(f.Import(f.t.Context(), req, false))
}

func TestImportIsARotation(t *testing.T) {
	f := newFixture(t, testPolicy())
	private := newEC(t, elliptic.P256())
	old := f.signer("ES256")
	plan := must[Takeover](t)(f.Import(t.Context(), ImportRequest{PKCS8: pkcs8DER(t, private)}, true))
	if len(f.Keys()) != 2 {
		t.Error("a dry run changed something")
	}
	got := f.importKey(ImportRequest{PKCS8: pkcs8DER(t, private)})
	if asJSON(t, plan) != asJSON(t, got) {
		t.Errorf("planned %s, done %s", asJSON(t, plan), asJSON(t, got))
	}
	if got.Old.KID != old || got.New.State != Pending || !got.New.SignsFrom.Equal(start.Add(day)) || f.signer("ES256") != old {
		t.Errorf("%+v", got)
	}
	public := must[jwk.Key](t)(jwk.FromRaw(&private.PublicKey))
	if want := must[string](t)(thumbprint(public)); got.New.KID != want || !f.published(want) {
		t.Errorf("kid %s, published %v; want %s", got.New.KID, f.published(got.New.KID), want)
	}
	f.clock.advance(day)
	f.maintain()
	if f.signer("ES256") != got.New.KID || f.info(old).PrivateHalf {
		t.Errorf("a day later %s signs: %s", f.signer("ES256"), asJSON(t, f.Keys()))
	}
	token, _, err := f.Sign("ES256", "JWT", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	f.expectVerifies(token)
	f.reopen()
	f.expectAsStored()
	f.clock.advance(90 * day)
	f.maintain()
	f.clock.advance(2 * day)
	if f.maintain(); f.signer("ES256") == got.New.KID {
		t.Error("an imported key is not rotated")
	}
}

func TestImportAtOnceAndIn(t *testing.T) {
	f := newFixture(t, testPolicy())
	got := f.importKey(ImportRequest{PKCS8: pkcs8DER(t, newEC(t, elliptic.P256())), Now: true})
	if f.signer("ES256") != got.New.KID || got.Old.PrivateHalf {
		t.Errorf("%+v", got)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	der := pkcs8DER(t, ed)
	if _, err := f.Import(t.Context(), ImportRequest{PKCS8: der, In: time.Second}, false); !errors.Is(err, ErrTooSoon) {
		t.Errorf("in a second: %v", err)
	}
	if got := f.importKey(ImportRequest{PKCS8: der, In: time.Hour}); got.New.Alg != "EdDSA" || !got.New.SignsFrom.Equal(start.Add(time.Hour)) {
		t.Errorf("%+v", got)
	}
}

func TestAlgorithmOfAnImportedKey(t *testing.T) {
	rsaDER := pkcs8DER(t, newRSA(t))
	for _, c := range []struct {
		configured, asked, want string
		der                     []byte
	}{
		{"PS256", "", "PS256", rsaDER},
		{"RS256", "RS256", "RS256", rsaDER},
		{"RS256", "PS256", "", rsaDER},
		{"ES256", "", "", rsaDER},
		{"RS256", "ES256", "", rsaDER},
		{"ES256", "ES256", "", pkcs8DER(t, newEC(t, elliptic.P384()))},
		{"ES384", "", "ES384", pkcs8DER(t, newEC(t, elliptic.P384()))},
	} {
		f := newFixture(t, testPolicy(c.configured))
		got, err := f.Import(t.Context(), ImportRequest{PKCS8: c.der, Alg: c.asked}, false)
		if c.want == "" && !errors.Is(err, ErrAlgorithm) || c.want != "" && (err != nil || got.New.Alg != c.want) {
			t.Errorf("%s, asked for %q: %s, %v; want %q", c.configured, c.asked, got.New.Alg, err, c.want)
		}
	}
}

func TestImportThatIsRefused(t *testing.T) {
	f := newFixture(t, testPolicy())
	der := pkcs8DER(t, newEC(t, elliptic.P256()))
	kid := f.importKey(ImportRequest{PKCS8: der, Now: true}).New.KID
	refused := func(der []byte, target error, want string) {
		t.Helper()
		before := f.store.bytes()
		_, err := f.Import(t.Context(), ImportRequest{PKCS8: der}, false)
		if !errors.Is(err, target) || !strings.Contains(err.Error(), want) || f.store.bytes() != before {
			t.Errorf("%v, want %v with %q, and nothing stored", err, target, want)
		}
	}
	refused(der, ErrKnown, "active")
	f.revoke(kid)
	refused(der, ErrKnown, "a revoked key never signs again")
	f.clock.advance(30 * day)
	f.maintain()
	if f.info(kid).KID != "" {
		t.Fatal("the revoked key is still known")
	}
	f.reopen()
	refused(der, ErrKnown, "it was revoked: a revoked key never signs again")
	f.rotate(RotateRequest{Alg: "ES256"})
	var pending *PendingError
	if _, err := f.Import(t.Context(), ImportRequest{PKCS8: pkcs8DER(t, newEC(t, elliptic.P256())), Now: true}, false); !errors.As(err, &pending) {
		t.Errorf("while a rotation is under way: %v", err)
	}
	refused([]byte("no key"), ErrKeyFile, "not PKCS #8")
	refused(pkcs8DER(t, newEC(t, elliptic.P521())), ErrKeyFile, "P-521")
	roca := rocaRSA(t)
	roca.Precompute()
	refused(pkcs8DER(t, roca), ErrKeyFile, "ROCA")
}

// FuzzReadPrivateKey: what is read is a key that signs, and all else is refused in a
// sentence that quotes nothing.
func FuzzReadPrivateKey(f *testing.F) {
	p256 := newEC(f, elliptic.P256())
	for _, seed := range [][]byte{
		pemOf("PRIVATE KEY", pkcs8DER(f, p256)), pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(newRSA(f))),
		jwkOf(f, p256, nil), jwkOf(f, newRSA(f), nil), []byte(`{"keys":[{"keys":[{}]}]}`), pemOf("ENCRYPTED PRIVATE KEY", []byte{0x30, 0}),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ReadPrivateKey(text, func() ([]byte, error) { return nil, ErrKeyFile })
		if err != nil {
			if !errors.Is(err, ErrKeyFile) || len(err.Error()) > 200 {
				t.Fatal(err)
			}
			return
		}
		if _, err := k.PKCS8(); err != nil || checkPair(k.private) != nil {
			t.Fatalf("a key that does not sign: %v", err)
		}
	})
}
