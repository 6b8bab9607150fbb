package control

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"os"
	"regexp"
	"testing"
	"time"

	"signet/keystore"
)

// newPKCS8 is a private key that was made elsewhere.
func newPKCS8(t testing.TB, curve elliptic.Curve) []byte {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return der
}

func bringing(curve elliptic.Curve, request KeyImport) func(testing.TB, *fixture) any {
	return func(t testing.TB, f *fixture) any {
		request.PKCS8 = newPKCS8(t, curve)
		return request
	}
}

var sealFile = regexp.MustCompile(`/[^" ]*seal\.key`)

// withoutPath has SEALFILE for the path of the sealing key.
func withoutPath(text string) string {
	return auditFile.ReplaceAllString(sealFile.ReplaceAllString(text, "SEALFILE"), "AUDITFILE")
}

var auditFile = regexp.MustCompile(`/[^" ]*/audit\.log`)

// setBack sets the clock back over the time at which the keys were stored.
func setBack(in any) func(testing.TB, *fixture) any {
	return func(t testing.TB, f *fixture) any {
		f.move(-48 * time.Hour)
		return in
	}
}

var keyCases = []doorCase{
	{name: "by plan", ask: ask(ImportKey), prepare: bringing(elliptic.P256(), KeyImport{}),
		want: `{"new":{"kid":"KID1","alg":"ES256","state":"pending","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-02T12:00:00Z","private_half":true},"old":{"kid":"KID2","alg":"ES256","state":"active","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T12:00:00Z","signs_until":"2026-03-02T12:00:00Z","published_until":"2026-03-02T12:12:30Z","kept_until":"2026-03-03T12:02:30Z","private_half":true},"dry_run":false,"now":"2026-03-01T12:00:00Z"}`},
	{name: "a plan at once", ask: ask(ImportKey), prepare: bringing(elliptic.P384(), KeyImport{Alg: "ES384", Now: true, DryRun: true}),
		want: `{"new":{"kid":"KID1","alg":"ES384","state":"active","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T12:00:00Z","private_half":true},"old":{"kid":"KID2","alg":"ES384","state":"retired","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T12:00:00Z","signs_until":"2026-03-01T12:00:00Z","published_until":"2026-03-01T12:12:30Z","kept_until":"2026-03-02T12:02:30Z","private_half":false},"dry_run":true,"now":"2026-03-01T12:00:00Z"}`},
	{name: "no key", ask: ask(ImportKey), in: KeyImport{PKCS8: []byte("no key")},
		wantErr: Error{`not a key that can be imported: it is not PKCS #8`, ""}},
	{name: "of another algorithm", ask: ask(ImportKey), prepare: bringing(elliptic.P384(), KeyImport{Alg: "ES256"}),
		wantErr: Error{`no such signing algorithm: a P-384 key signs with ES384, not with "ES256"`,
			"signet keys list  # shows the algorithms that have keys; others are added under keys.algorithms"}},
	{name: "twice", ask: ask(ImportKey), prepare: func(t testing.TB, f *fixture) any {
		der := newPKCS8(t, elliptic.P256())
		_, err := f.Keys.Import(t.Context(), keystore.ImportRequest{PKCS8: der, Now: true}, false)
		must(t, err)
		return KeyImport{PKCS8: der}
	}, wantErr: Error{"the key is known here already: KID1, for ES256, active", hintKeys}},
	{name: "of all keys", ask: ask(ResealKeys), in: DryRun{}, want: `{"path":"SEALFILE","keys":2,"dry_run":false}`},
	{name: "a plan", ask: ask(ResealKeys), in: DryRun{DryRun: true}, want: `{"path":"SEALFILE","keys":2,"dry_run":true}`},
	{name: "without its file", ask: ask(ResealKeys), prepare: func(t testing.TB, f *fixture) any {
		resealed, err := f.Keys.Reseal(t.Context(), true)
		must(t, err)
		must(t, os.Remove(resealed.Path))
		return DryRun{}
	}, wantErr: Error{"sealing key: open SEALFILE: no such file or directory; this process goes on with the one it has, and the next start needs the file: restore it from its backup", ""}},
	{name: "not stopped", ask: ask(ResumeKeys), in: DryRun{}, wantErr: Error{"the schedule of the keys is not stopped", hintKeys}},
	{name: "a clock that was set back", ask: ask(ResumeKeys), prepare: setBack(DryRun{DryRun: true}),
		want: `{"keys":[{"kid":"KID1","alg":"ES256","state":"active","created":"2026-02-27T12:00:00Z","signs_from":"2026-02-27T12:00:00Z","private_half":true},{"kid":"KID2","alg":"ES384","state":"active","created":"2026-02-27T12:00:00Z","signs_from":"2026-02-27T12:00:00Z","private_half":true}],"now":"2026-02-27T12:00:00Z","dry_run":true}`},
	{name: "while the clock is behind", ask: ask(ListKeys), prepare: setBack(struct{}{}),
		want: `{"keys":[` + activeES256 + `,` + activeES384 + `],"now":"2026-03-01T12:00:00Z","schedule":{"now":"2026-03-01T12:00:00Z","clock":"2026-02-27T12:00:00Z","leap":-172800000000000,"stopped":"2026-03-01T12:00:00Z"}}`},
}
