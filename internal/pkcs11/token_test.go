//go:build pkcs11

package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	p11 "github.com/miekg/pkcs11"
)

func named(crypto.PublicKey) (string, error) { return "kid-of-the-tests", nil }

func makeKey(t *testing.T, token *Token, alg string) string {
	t.Helper()
	ref, _, err := token.Make(alg, 2048, named)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// signs signs and verifies with a P-256 key.
func signs(k crypto.Signer) error {
	digest := sha256.Sum256([]byte("message"))
	signature, err := k.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err == nil && !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest[:], signature) {
		err = errors.New("the signature does not verify")
	}
	return err
}

// Make signs and verifies with each key; Open finds the same one after a new login.
func TestEachAlgorithm(t *testing.T) {
	opts, _ := softHSM(t)
	token := open(t, opts)
	for _, alg := range []string{"ES256", "ES384", "RS256", "PS256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			ref, public, err := token.Make(alg, 2048, named)
			if alg == "EdDSA" && err != nil { // a build of SoftHSM may lack it
				if !strings.Contains(err.Error(), "leave it out of keys.algorithms") {
					t.Errorf("refused with %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			k, err := token.Open(ref)
			if err != nil {
				t.Fatal(err)
			}
			if !k.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(public) {
				t.Error("the key that was opened is another")
			}
		})
	}
	if _, _, err := token.Make("HS256", 0, named); err == nil || !strings.Contains(err.Error(), `no keys for "HS256"`) {
		t.Errorf("HS256: %v", err)
	}
}

func TestKeyDoesNotLeaveTheToken(t *testing.T) {
	opts, _ := softHSM(t)
	token := open(t, opts)
	for alg, secret := range map[string]uint{"ES256": p11.CKA_VALUE, "RS256": p11.CKA_PRIVATE_EXPONENT} {
		ref := makeKey(t, token, alg)
		id, err := token.id(ref)
		if err != nil {
			t.Fatal(err)
		}
		err = token.with(func(s session) error {
			handle, err := s.one(p11.CKO_PRIVATE_KEY, id)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.GetAttributeValue(s.handle, handle, []*p11.Attribute{p11.NewAttribute(secret, nil)})
			if !errors.Is(err, p11.Error(p11.CKR_ATTRIBUTE_SENSITIVE)) {
				t.Errorf("%s: the private half was asked for: %v, want CKR_ATTRIBUTE_SENSITIVE", alg, err)
			}
			err = s.SetAttributeValue(s.handle, handle, []*p11.Attribute{p11.NewAttribute(p11.CKA_EXTRACTABLE, true)})
			if err == nil {
				t.Errorf("%s: the private half was made extractable", alg)
			}
			is, err := s.GetAttributeValue(s.handle, handle, []*p11.Attribute{p11.NewAttribute(p11.CKA_LABEL, nil), p11.NewAttribute(p11.CKA_NEVER_EXTRACTABLE, nil)})
			if err != nil || string(is[0].Value) != "signet "+alg+" kid-of-the-tests" || !bytes.Equal(is[1].Value, []byte{1}) {
				t.Errorf("%s: %v, %v", alg, is, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What SoftHSM does not do: a token that ignores what it is told.
func TestReadableKeyIsRefused(t *testing.T) {
	opts, _ := softHSM(t)
	token := open(t, opts)
	for attribute, ignored := range map[uint]byte{p11.CKA_SENSITIVE: 0, p11.CKA_EXTRACTABLE: 1} {
		err := token.with(func(s session) error {
			k := kinds["ES256"]
			public, private := k.templates("other", []byte{1}, 0)
			for _, a := range private {
				if a.Type == attribute {
					a.Value = []byte{ignored}
				}
			}
			_, handle, err := s.GenerateKeyPair(s.handle, []*p11.Mechanism{p11.NewMechanism(k.mechanism, nil)}, public, private)
			if err != nil {
				t.Fatal(err)
			}
			return s.keepsIn(handle)
		})
		if err == nil || !strings.Contains(err.Error(), "can be read out of it") {
			t.Errorf("a readable key, by %#x: %v", attribute, err)
		}
	}
}

func TestDestroy(t *testing.T) {
	opts, _ := softHSM(t)
	token := open(t, opts)
	gone, stays := makeKey(t, token, "ES256"), makeKey(t, token, "ES256")
	k, err := token.Open(gone)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice is as good as once
		if err := token.Destroy(gone); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := token.Open(gone); err == nil || !strings.Contains(err.Error(), "0 objects have the CKA_ID") {
		t.Errorf("a destroyed key was opened: %v", err)
	}
	if err := signs(k); err == nil {
		t.Error("a destroyed key signs")
	}
	refs, err := token.Refs()
	if err != nil || !slices.Equal(refs, []string{stays}) {
		t.Errorf("the token has %q, %v; want %q", refs, err, stays)
	}
}

// A key that is refused while it is made leaves nothing behind.
func TestRefusedKeyIsDestroyed(t *testing.T) {
	opts, _ := softHSM(t)
	token := open(t, opts)
	refusal := errors.New("no name")
	_, _, err := token.Make("ES256", 0, func(crypto.PublicKey) (string, error) { return "", refusal })
	if !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
	if refs, err := token.Refs(); err != nil || len(refs) != 0 {
		t.Errorf("the token has %q, %v", refs, err)
	}
}

func TestManySignAtOnce(t *testing.T) {
	opts, _ := softHSM(t)
	token := open(t, opts)
	k, err := token.Open(makeKey(t, token, "ES256"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 * maxSessions {
		all.Go(func() {
			for range 5 {
				if err := signs(k); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := len(token.conn.idle); n > maxSessions {
		t.Errorf("%d sessions are open", n)
	}
}

// The token vanishes and comes back; so do all sessions of a process.
func TestTokenComesBack(t *testing.T) {
	opts, objects := softHSM(t)
	token := open(t, opts)
	k, err := token.Open(makeKey(t, token, "ES256"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(objects, objects+".away"); err != nil {
		t.Fatal(err)
	}
	if err := token.ctx.Finalize(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := signs(k); err == nil || !strings.Contains(err.Error(), testLabel) {
			t.Errorf("without the token: %v", err)
		}
	}
	if err := os.Rename(objects+".away", objects); err != nil {
		t.Fatal(err)
	}
	token.tried = token.tried.Add(-reconnectEvery)
	if err := signs(k); err != nil {
		t.Errorf("after it came back: %v", err)
	}
	if err := token.ctx.CloseAllSessions(token.conn.slot); err != nil {
		t.Fatal(err)
	}
	if err := signs(k); err != nil {
		t.Errorf("after its sessions were closed: %v", err)
	}
}

// A PIN is tried once: tokens lock themselves after a few wrong ones.
func TestRefusedPINIsNotTriedAgain(t *testing.T) {
	opts, _ := softHSM(t)
	token := open(t, opts)
	k, err := token.Open(makeKey(t, token, "ES256"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, opts.PINFile, "another PIN")
	if err := token.ctx.Finalize(); err != nil {
		t.Fatal(err)
	}
	if err := signs(k); err == nil || !strings.Contains(err.Error(), "was refused") {
		t.Errorf("with a wrong PIN: %v", err)
	}
	write(t, opts.PINFile, testPIN)
	token.tried = token.tried.Add(-reconnectEvery)
	if err := signs(k); err == nil || !strings.Contains(err.Error(), "was refused") {
		t.Errorf("a refused PIN was followed by another try: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	good, _ := softHSM(t)
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		write(t, dir+"/"+name, text)
		if err := os.Chmod(dir+"/"+name, mode); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	initToken(t, "twice")
	initToken(t, "twice")
	for name, tt := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no module":       {func(o *Options) { o.Module = dir + "/none.so" }, "PKCS #11 module: stat " + dir + "/none.so: no such file"},
		"another library": {func(o *Options) { o.Module = file("text.so", "text", 0o600) }, "cannot be loaded"},
		"no token":        {func(o *Options) { o.Token = "other" }, `PKCS #11 token "other": it is not there; the module `},
		"two tokens":      {func(o *Options) { o.Token = "twice" }, "2 tokens have this label"},
		"wrong PIN":       {func(o *Options) { o.PINFile = file("wrong", "wrong\n", 0o600) }, "was refused (pkcs11: 0xA0: CKR_PIN_INCORRECT)"},
		"no PIN":          {func(o *Options) { o.PINFile = dir + "/none" }, "no such file"},
		"empty PIN":       {func(o *Options) { o.PINFile = file("empty", "\n", 0o600) }, "does not hold one line with a PIN"},
		"two lines":       {func(o *Options) { o.PINFile = file("two", "a\nb\n", 0o600) }, "does not hold one line with a PIN"},
		"readable PIN":    {func(o *Options) { o.PINFile = file("open", testPIN, 0o640) }, "others may read or change"},
	} {
		opts := good
		tt.change(&opts)
		token, err := Open(opts)
		if err == nil {
			token.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), testPIN) || strings.Contains(err.Error(), "wrong\n")) {
			t.Errorf("%s: the error holds a PIN", name)
		}
	}
	open(t, good)
}

func TestReferences(t *testing.T) {
	ref := newRef("a b;=%/ü", []byte{0, 0xab, 'c'})
	if want := "pkcs11:token=a%20b%3B%3D%25%2F%C3%BC;id=%00%AB%63;type=private"; ref != want {
		t.Errorf("got %s, want %s", ref, want)
	}
	token, id, err := parseRef(ref)
	if err != nil || token != "a b;=%/ü" || !bytes.Equal(id, []byte{0, 0xab, 'c'}) {
		t.Errorf("read back as %q, %x, %v", token, id, err)
	}
	for _, other := range []string{
		"", "pkcs11:", "pkcs11:token=a;id=;type=private", "pkcs11:token=a;id=%01", "pkcs11:token=a;id=%0;type=private",
		"pkcs11:id=%01;token=a;type=private", "pkcs11:token=a;id=%01;type=private?pin-value=1", "pkcs11:token=%;id=%01;type=private",
		"eyJhbGciOiJkaXIifQ..a.b.c",
	} {
		if _, _, err := parseRef(other); err == nil || !strings.Contains(err.Error(), "does not name a key") {
			t.Errorf("%q: %v", other, err)
		}
	}
	opts, _ := softHSM(t)
	if _, err := open(t, opts).Open(ref); err == nil || !strings.Contains(err.Error(), "is in the token") {
		t.Errorf("a key of another token: %v", err)
	}
}
