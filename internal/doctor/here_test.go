package doctor

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signet/keystore"
)

// laidOut are files as a server makes them.
func laidOut(t *testing.T) Files {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	must(t, os.Mkdir(dir, 0o700))
	f := Files{Data: dir, Database: filepath.Join(dir, "signet.db"), SealingKey: filepath.Join(dir, "seal.key"), Audit: filepath.Join(dir, "audit.log"), Socket: filepath.Join(dir, "control.sock"), UID: -1,
		TLSKey: filepath.Join(dir, "key.pem"), PIN: filepath.Join(dir, "pin"), ACME: filepath.Join(dir, "acme")}
	must(t, os.Mkdir(f.ACME, 0o700))
	for _, path := range []string{f.Database, f.SealingKey, f.Audit, f.Socket, f.TLSKey, f.PIN} {
		must(t, os.WriteFile(path, nil, 0o600))
	}
	return f
}

func TestFiles(t *testing.T) {
	for _, c := range []struct {
		name  string
		alter func(t *testing.T, f *Files)
		want  []finding
	}{
		{"as the server makes them", func(*testing.T, *Files) {}, []finding{{"files", OK, "are right", ""}}},
		{"a directory that others may list", func(t *testing.T, f *Files) { must(t, os.Chmod(f.Data, 0o755)) }, []finding{{"files", Fail, "(mode 0755)", "chmod 700 "}}},
		{"a database that the group may read", func(t *testing.T, f *Files) { must(t, os.Chmod(f.Database, 0o640)) }, []finding{{"files", Fail, "signet.db (mode 0640)", "chmod 600 "}}},
		{"a sealing key that all may read", func(t *testing.T, f *Files) { must(t, os.Chmod(f.SealingKey, 0o644)) }, []finding{{"files", Fail, "seal.key (mode 0644)", "chmod 600 "}}},
		{"a sealing key that is mounted", func(t *testing.T, f *Files) { must(t, os.Chmod(f.SealingKey, 0o440)) }, nil},
		{"a sealing key that the group may change", func(t *testing.T, f *Files) { must(t, os.Chmod(f.SealingKey, 0o660)) }, []finding{{"files", Fail, "seal.key (mode 0660)", "chmod 600 "}}},
		{"a socket that all may use", func(t *testing.T, f *Files) { must(t, os.Chmod(f.Socket, 0o666)) }, []finding{{"files", Fail, "control.sock (mode 0666)", "chmod 600 "}}},
		{"an audit log that all may read", func(t *testing.T, f *Files) { must(t, os.Chmod(f.Audit, 0o644)) }, []finding{{"files", Fail, "audit.log (mode 0644)", "chmod 600 "}}},
		{"an audit log that the group may read", func(t *testing.T, f *Files) { must(t, os.Chmod(f.Audit, 0o640)) }, nil},
		{"no audit log yet", func(t *testing.T, f *Files) { must(t, os.Remove(f.Audit)) }, nil},
		{"no socket", func(t *testing.T, f *Files) { must(t, os.Remove(f.Socket)) }, nil},
		{"a TLS key that all may read", func(t *testing.T, f *Files) { must(t, os.Chmod(f.TLSKey, 0o644)) }, []finding{{"files", Fail, "key.pem (mode 0644)", "chmod 600 "}}},
		{"a TLS key that is mounted", func(t *testing.T, f *Files) { must(t, os.Chmod(f.TLSKey, 0o440)) }, nil},
		{"no TLS key, which is for another check", func(t *testing.T, f *Files) { must(t, os.Remove(f.TLSKey)) }, nil},
		{"a cache of certificates that others may list", func(t *testing.T, f *Files) { must(t, os.Chmod(f.ACME, 0o755)) }, []finding{{"files", Fail, "acme (mode 0755)", "chmod 700 "}}},
		{"no certificate issued yet", func(t *testing.T, f *Files) { must(t, os.Remove(f.ACME)) }, nil},
		{"a PIN that the group may read", func(t *testing.T, f *Files) { must(t, os.Chmod(f.PIN, 0o640)) }, []finding{{"files", Fail, "pin (mode 0640)", "chmod 600 "}}},
		{"no PIN", func(t *testing.T, f *Files) { must(t, os.Remove(f.PIN)) }, []finding{{"files", Fail, "pin: no such file", "keys.pkcs11_pin_file"}}},
		{"neither a certificate nor a token", func(t *testing.T, f *Files) { f.TLSKey, f.PIN = "", "" }, nil},
		{"a database that is gone under the server", func(t *testing.T, f *Files) { f.Lost = "signet backup FILE"; must(t, os.Remove(f.Database)) },
			[]finding{{"files", Fail, "signet.db: no such file", "signet backup FILE"}}},
		{"no sealing key", func(t *testing.T, f *Files) { must(t, os.Remove(f.SealingKey)) }, []finding{{"files", Fail, "seal.key: no such file", "restore"}}},
		{"no database", func(t *testing.T, f *Files) { must(t, os.Remove(f.Database)) }, []finding{{"files", Fail, "signet.db: no such file", "restore"}}},
		{"no directory", func(t *testing.T, f *Files) { f.Data += "-other" }, []finding{{"files", Fail, "no such file", "--data DIR"}}},
		{"a sealing key elsewhere", func(t *testing.T, f *Files) {
			f.SealingKey = filepath.Join(t.TempDir(), "key")
			must(t, os.WriteFile(f.SealingKey, nil, 0o604))
			must(t, os.Chmod(f.SealingKey, 0o604))
		}, []finding{{"files", Fail, "/key (mode 0604)", "chmod 600 "}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := laidOut(t)
			c.alter(t, &f)
			wantOnly(t, f.Checks(), c.want...)
		})
	}
}

func TestAuditLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	wantOnly(t, Audit{Path: path, Records: 17}.Checks(), finding{"audit log", OK, "17 records", ""})
	wantOnly(t, Audit{Path: path, Records: 17, Suspicion: "it does not end as it did"}.Checks(), finding{"audit log", Fail, "it does not end as it did", "signet audit verify says where"})
	wantOnly(t, Audit{Path: path, Failing: "no space left"}.Checks(), finding{"audit log", Fail, "no space left", "make room on its disk"})
}

func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("only root can give files away")
		}
		t.Skip("SKIPPED: only root can give files away")
	}
	f := laidOut(t)
	must(t, os.Chown(f.Database, 65534, 65534))
	f.UID = 0
	wantOnly(t, f.Checks(), finding{"files", Fail, "signet.db belongs to nobody, and the server runs as root", "chown root "})
	for _, path := range []string{f.Data, f.Socket} {
		must(t, os.Chown(path, 65534, 65534))
	}
	f.UID = 65534 // and the sealing key is root's
	wantOnly(t, f.Checks())
	f.UID = -1 // the directory's owner counts
	wantOnly(t, f.Checks())
}

func TestRoom(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name     string
		left     room
		database uint64
		want     []finding
	}{
		{"enough", room{1000 * mib, 500 * mib, 1000, 500}, mib, nil},
		{"none", room{1000 * mib, 0, 1000, 500}, mib, []finding{{"disk", Fail, "0 bytes free at /data, and the database of 1 MiB needs 64 MiB", "make room"}}},
		{"63 MiB", room{100 * mib, 63 * mib, 1000, 500}, mib, []finding{{"disk", Fail, "63 MiB free", "make room"}}},
		{"64 MiB", room{100 * mib, 64 * mib, 1000, 500}, mib, nil},
		{"less than the database", room{1000 * mib, 199 * mib, 1000, 500}, 200 * mib, []finding{{"disk", Fail, "needs 200 MiB", "make room"}}},
		{"less than a tenth", room{1000 * mib, 99 * mib, 1000, 500}, mib, []finding{{"disk", Warn, "99 MiB of 1000 MiB free", "make room"}}},
		{"few inodes", room{1000 * mib, 500 * mib, 10000, 999}, mib, []finding{{"disk", Warn, "999 of 10000 inodes", "remove files"}}},
		{"no inodes", room{1000 * mib, 500 * mib, 10000, 0}, mib, []finding{{"disk", Fail, "0 of 10000 inodes", "remove files"}}},
		{"no table of inodes", room{1000 * mib, 500 * mib, 0, 0}, mib, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &report{name: "disk"}
			judgeRoom(r, c.left, "/data", c.database)
			wantOnly(t, r.checks, c.want...)
		})
	}
	if got := Disk(t.TempDir(), "none"); len(got) == 0 || got[0].Result == Skipped {
		t.Errorf("a real disk: %+v", got)
	}
	wantOnly(t, Disk("/no/such/directory", "none"), finding{"disk", Skipped, "no such file", ""})
}

func TestOpenFiles(t *testing.T) {
	wantOnly(t, OpenFiles(0), finding{"open files", Skipped, "not visible", ""})
	wantOnly(t, OpenFiles(math.MaxInt32), finding{"open files", Skipped, "no such file", ""})
	if got := OpenFiles(os.Getpid()); len(got) != 1 || got[0].Result == Skipped {
		t.Errorf("of this process: %+v", got)
	}
	const row = "Max processes             1                    2                    processes\nMax open files            %s                 524288               files\n"
	for text, want := range map[string]uint64{"1024": 1024, "unlimited": unlimited} {
		if got, err := maxOpenFiles(fmt.Appendf(nil, row, text)); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	if _, err := maxOpenFiles([]byte("Max processes 1 2 processes\n")); err != errLimits {
		t.Errorf("no such row: %v", err)
	}
}

func TestKeys(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	policy := keystore.Policy{Algorithms: []string{"ES256"}, RSABits: 2048, RotateEvery: 90 * day, PublishAhead: day, JWKSMaxAge: 5 * time.Minute}
	never := policy
	never.RotateEvery = 0
	key := func(state keystore.State, age time.Duration) keystore.Info {
		return keystore.Info{KID: "k-" + string(state), Alg: "ES256", State: state, Created: now.Add(-age), SignsFrom: now.Add(-age), PrivateHalf: true}
	}
	pending := func(age, lead time.Duration, held bool) keystore.Info {
		k := key(keystore.Pending, age)
		k.Held, k.SignsFrom = held, k.Created.Add(lead)
		if held {
			k.SignsFrom = time.Time{}
		}
		return k
	}
	for _, c := range []struct {
		name     string
		policy   keystore.Policy
		list     []keystore.Info
		schedule *keystore.Schedule
		want     []finding
	}{
		{name: "a young key", policy: policy, list: []keystore.Info{key(keystore.Active, 30*day)},
			want: []finding{{"keys", OK, "ES256 has signed for 30 days, the next one signs in 60 days", ""}}},
		{name: "a rotation under way", policy: policy, list: []keystore.Info{key(keystore.Active, 90*day-time.Hour), pending(23*time.Hour, day, false)}},
		{name: "no key", policy: policy, want: []finding{{"keys", Fail, "ES256 has no key that signs", "signet keys rotate --alg ES256 --now"}}},
		{name: "a key without its private half", policy: policy, list: []keystore.Info{{KID: "k", Alg: "ES256", State: keystore.Active}},
			want: []finding{{"keys", Fail, "ES256 has no key that signs", ""}}},
		{name: "published long before", policy: policy, list: []keystore.Info{key(keystore.Active, 80*day), pending(10*day, 30*day, false)}},
		{name: "a new algorithm", policy: policy, list: []keystore.Info{pending(0, day, false)}, want: []finding{{"keys", OK, "ES256 signs from 2026-03-02 12:00:00 UTC on", ""}}},
		{name: "overdue", policy: policy, list: []keystore.Info{key(keystore.Active, 90*day)}, want: []finding{{"keys", Warn, "has no successor", "signet serve"}}},
		{name: "an old key that nothing rotates", policy: never, list: []keystore.Info{key(keystore.Active, 400*day)},
			want: []finding{{"keys", Warn, "has signed for 400 days, and keys.rotate_every is 0", "signet keys rotate"}}},
		{name: "a young key that nothing rotates", policy: never, list: []keystore.Info{key(keystore.Active, 300*day)}, want: []finding{{"keys", OK, "300 days", ""}}},
		{name: "held for a week", policy: policy, list: []keystore.Info{key(keystore.Active, 80*day), pending(8*day, 0, true)},
			want: []finding{{"keys", Warn, "k-pending is held for 8 days already", "signet keys rotate --wait"}}},
		{name: "held for a day", policy: policy, list: []keystore.Info{key(keystore.Active, 80*day), pending(day, 0, true)}},
		{name: "published too briefly", policy: policy, list: []keystore.Info{key(keystore.Active, 80*day), pending(0, time.Minute, false)},
			want: []finding{{"keys", Warn, "signs 1m0s after it was published", "signet keys consumers"}}},
		{name: "a stopped schedule", policy: policy, list: []keystore.Info{key(keystore.Active, 400*day)},
			schedule: &keystore.Schedule{Stopped: now, Leap: -30 * day}, want: []finding{{"keys", Fail, "stopped since 2026-03-01 12:00:00 UTC: the clock is 30 days behind what it should be", "signet keys resume"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantOnly(t, Keys{List: c.list, Policy: c.policy, Now: now, Schedule: c.schedule, Set: []byte(`{"keys":[]}`)}.Checks(), c.want...)
		})
	}
}

func TestRSASize(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	set := fmt.Sprintf(`{"keys":[{"kty":"RSA","kid":"k","alg":"RS256","n":%q,"e":"AQAB"}]}`, base64.RawURLEncoding.EncodeToString(private.N.Bytes()))
	keys := Keys{
		List: []keystore.Info{{KID: "k", Alg: "RS256", State: keystore.Active, PrivateHalf: true, SignsFrom: time.Now()}}, Set: []byte(set),
		Policy: keystore.Policy{Algorithms: []string{"RS256"}, RSABits: 2048}, Now: time.Now(),
	}
	wantOnly(t, keys.Checks())
	keys.Policy.RSABits = 3072
	wantOnly(t, keys.Checks(), finding{"keys", Warn, "has 2048 bits, and keys.rsa_bits is 3072", "signet keys rotate --alg RS256"})
}

func TestSettings(t *testing.T) {
	wantOnly(t, Settings(nil), finding{"settings", OK, "no warnings", ""})
	wantOnly(t, Settings([]string{"a", "b"}), finding{"settings", Warn, "a", "change"}, finding{"settings", Warn, "b", "change"})
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain ü": "plain ü", "a\x1b[2J\n\x00": `a\x1b[2J\n\x00`, "\u202egpj": `\u202egpj`, "\x9b": "\ufffd",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q is printed as %q, want %q", text, got, want)
		}
	}
	if got := printable(strings.Repeat("a", 2*maxLine)); len(got) > maxLine+len("…") {
		t.Errorf("%d bytes are printed", len(got))
	}
}
