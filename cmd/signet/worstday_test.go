package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"signet/internal/store/boltstore"
	"signet/issuer"
	"signet/verify"
)

// maxAgeOfIncident is jwks_max_age in these tests, where what a page promises is waited
// for: the least that signet/verify goes by.
const maxAgeOfIncident = 10 * time.Second

const victimsPassword = "correct horse battery staple"

// incident is an issuer that something of leaks, and the page that says what to do.
type incident struct {
	addr, dir, data string
	binary          string   // which is signet here
	settings        []string // of the environment, beside those of all
	blocks          []string // of the page, which are still to be played
	issuer          *process
	leaked          *ecdsa.PrivateKey // signs, and is known to the attacker
	kid             string
	pair            map[string]string // of the victim, kyoko
}

func newIncident(t *testing.T, page, section string) *incident {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in := &incident{addr: addr, dir: dir, binary: binary, data: filepath.Join(dir, "data"), blocks: consoleBlocks(t, page, section)}
	in.issuer = in.serve(t, in.data, addr, "http://"+addr)
	in.importLeaked(t)
	in.mustSh(t, "echo '"+victimsPassword+"' | signet users add kyoko --email kyoko@example.com --password-stdin")
	in.login(t)
	return in
}

// consoleBlocks are those of a section, or of the whole page if section is empty.
func consoleBlocks(t *testing.T, page, section string) (blocks []string) {
	t.Helper()
	text := readPage(t, page)
	if section != "" {
		_, rest, found := strings.Cut(text, "\n## "+section+"\n")
		if !found {
			t.Fatalf("%s has no section %q", page, section)
		}
		text, _, _ = strings.Cut(rest, "\n## ")
	}
	for _, found := range regexp.MustCompile("(?ms)^( *)```console\n(.*?)^ *```$").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, strings.ReplaceAll("\n"+found[2], "\n"+found[1], "\n")[1:])
	}
	return blocks
}

func readPage(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// serve starts an issuer, which may be one on stolen data.
func (in *incident) serve(t *testing.T, data, addr, issuerURL string) *process {
	t.Helper()
	cmd := exec.Command(in.binary, "serve", "--data", data, "--listen", addr, "--issuer", issuerURL)
	cmd.Env = in.env()
	return launch(t, addr, cmd)
}

// env is that of a terminal of the page.
func (in *incident) env(extra ...string) []string {
	env := testEnv("SIGNET_DATA="+in.data, "SIGNET_TOKENS_AUDIENCE=orders", "SIGNET_KEYS_JWKS_MAX_AGE="+maxAgeOfIncident.String(),
		"PATH="+filepath.Dir(in.binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	return append(append(env, in.settings...), extra...)
}

func (in *incident) sh(t *testing.T, line string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "set -o pipefail; "+line)
	cmd.Dir, cmd.Env = in.dir, in.env()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (in *incident) mustSh(t *testing.T, line string) string {
	t.Helper()
	out, err := in.sh(t, line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// steal copies files of the data directory into one of the attacker's.
func (in *incident) steal(t *testing.T, to string, files ...string) string {
	t.Helper()
	to = filepath.Join(in.dir, to)
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(in.data, file))
		if err := errors.Join(err, os.WriteFile(filepath.Join(to, file), text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// opensNothing wants a server to refuse to start on a directory.
func (in *incident) opensNothing(t *testing.T, dir, words string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, in.binary, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--issuer", "http://"+in.addr)
	cmd.Env = in.env()
	out, err := cmd.CombinedOutput()
	if ended := (*exec.ExitError)(nil); !errors.As(err, &ended) || ended.ExitCode() != 1 || !strings.Contains(string(out), words) {
		t.Errorf("a server on %s: %v, want %q\n%s", filepath.Base(dir), err, words, out)
	}
}

// importLeaked makes the issuer sign with a key that the test knows.
func (in *incident) importLeaked(t *testing.T) {
	t.Helper()
	var err error
	if in.leaked, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(in.leaked)
	if err != nil {
		t.Fatal(err)
	}
	snippet(t, in.dir, "leaked.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
	in.mustSh(t, "signet keys import leaked.pem --now")
}

// login gets the victim tokens, whose kid is the leaked one at first.
func (in *incident) login(t *testing.T) {
	t.Helper()
	pair, err := login(t.Context(), http.DefaultClient, "http://"+in.addr, "kyoko", victimsPassword)
	if err != nil {
		t.Fatal(err)
	}
	in.pair, in.kid = pair, kidOf(t, pair["access"])
}

func kidOf(t *testing.T, token string) string {
	t.Helper()
	message, err := jws.ParseString(token)
	if err != nil {
		t.Fatal(err)
	}
	return message.Signatures()[0].ProtectedHeaders().KeyID()
}

// play runs the page's next console blocks, n of them.
func (in *incident) play(t *testing.T, n int) {
	t.Helper()
	for range n {
		if len(in.blocks) == 0 {
			t.Fatal("the page has no further console block")
		}
		console := strings.NewReplacer("127.0.0.1:8080", in.addr, "/var/lib/signet", in.data, "/var/backups", in.dir,
			"found.pem", filepath.Join(in.dir, "leaked.pem")).Replace(in.blocks[0])
		in.blocks = in.blocks[1:]
		env := in.env("KID="+in.kid, "TOKEN="+in.pair["access"], "REFRESH="+in.pair["refresh"])
		runConsole(t, env, "", console)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// forge signs claims with the leaked key; change may alter those of a good access token.
func (in *incident) forge(t *testing.T, typ string, change func(jwt.Token)) string {
	t.Helper()
	claims, err := jwt.ParseInsecure([]byte(in.pair["access"]))
	if err != nil {
		t.Fatal(err)
	}
	change(claims)
	headers := jws.NewHeaders()
	if err := errors.Join(headers.Set(jws.KeyIDKey, in.kid), headers.Set(jws.TypeKey, typ)); err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Sign(claims, jwt.WithKey(jwa.ES256, in.leaked, jws.WithProtectedHeaders(headers)))
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

// anyone is an access token of the victim for ten years, of a session that never was.
func (in *incident) anyone(t *testing.T) string {
	return in.forge(t, "JWT", func(c jwt.Token) {
		c.Set("sid", strings.Repeat("a", 32))
		c.Set("exp", time.Now().Add(10*365*24*time.Hour))
	})
}

// refuses wants a route of the issuer to refuse a token with these words.
func (in *incident) refuses(t *testing.T, what, route, field, token, words string) {
	t.Helper()
	_, err := postJSON(t.Context(), http.DefaultClient, "http://"+in.addr+route, url.Values{field: {token}})
	if refused := (*statusError)(nil); !errors.As(err, &refused) || !strings.Contains(refused.body, words) {
		t.Errorf("%s at %s: %v, want %q", what, route, err, words)
	}
}

// TestLeakedKey plays docs/leaked-key.md with an attacker who has the key, and two
// services: one that sees a token of the new key, and one that sees none.
func TestLeakedKey(t *testing.T) {
	t.Parallel()
	in := newIncident(t, "leaked-key.md", "")
	base := "http://" + in.addr
	shown, alone := verify.New(base, "orders"), verify.New(base, "orders")
	forged := in.anyone(t)
	for name, service := range map[string]*verify.Verifier{"shown": shown, "alone": alone} {
		if _, err := service.Verify(t.Context(), forged); err != nil {
			t.Fatalf("%s: the attack does not work: %v", name, err)
		}
	}
	in.refuses(t, "a forged token of no session", "/api/token/verify/", "token", forged, "Token is blacklisted")
	fetchAs(t, base, "billing-1")

	in.play(t, 3) // which key, by a token and by a file; the plan
	if _, err := shown.Verify(t.Context(), in.pair["access"]); err != nil {
		t.Fatalf("the plan changed something: %v", err)
	}
	in.play(t, 1) // revoke
	revoked := time.Now()
	in.play(t, 1) // over at the issuer
	in.issuer.waitLog(t, "sid="+claimsOf(t, in.pair["access"]).Session)
	in.refuses(t, "a forged token", "/api/token/verify/", "token", forged, "token_not_valid")

	old, oldKID := in.pair, in.kid
	in.login(t)
	if in.kid == oldKID {
		t.Fatal("the revoked key signs")
	}
	if _, err := shown.Verify(t.Context(), in.pair["access"]); err != nil {
		t.Errorf("the new key is refused: %v", err)
	}
	for what, token := range map[string]string{"forged": forged, "old": old["access"]} {
		if _, err := shown.Verify(t.Context(), token); !errors.Is(err, verify.ErrUnknownKey) {
			t.Errorf("%s, after a token of the new key: %v", what, err)
		}
	}
	stopsBy(t, alone, forged, revoked.Add(maxAgeOfIncident))

	in.pair, in.kid = old, oldKID
	in.play(t, 1) // billing-1 has it
	fetchAs(t, base, "billing-1")
	in.play(t, 1)
	if out := in.mustSh(t, "signet keys consumers --kid "+oldKID); !regexp.MustCompile(`(?m)^billing-1 .* no$`).MatchString(out) {
		t.Errorf("after its fetch billing-1 still has the key:\n%s", out)
	}
	in.allPlayed(t)
}

func (in *incident) allPlayed(t *testing.T) {
	t.Helper()
	if len(in.blocks) != 0 {
		t.Errorf("not played: %q", in.blocks)
	}
}

// stopsBy wants a service to refuse a token from the promised instant on.
func stopsBy(t *testing.T, service *verify.Verifier, token string, promised time.Time) {
	t.Helper()
	err := waitFor(time.Until(promised)+2*time.Second, func() error {
		if _, err := service.Verify(t.Context(), token); !errors.Is(err, verify.ErrUnknownKey) {
			return fmt.Errorf("the service says %v", err)
		}
		return nil
	})
	if err != nil {
		t.Errorf("after the promised time: %v", err)
	}
}

// fetchAs fetches the key set under a consumer's name.
func fetchAs(t *testing.T, base, name string) {
	t.Helper()
	resp, err := client.Get(base + "/.well-known/jwks.json?rs=" + name)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// TestLeakedKeyTables: the page's tables are what clientkinds.go says.
func TestLeakedKeyTables(t *testing.T) {
	page := readPage(t, "leaked-key.md")
	for _, g := range byTime(func(k clientKind) (time.Duration, bool) { return k.alone(), k.alone() != forever }) {
		wantRow(t, page, fmt.Sprintf("| %s | %s |\n", longSpan(g.For, ""), strings.Join(g.Clients, ", ")))
	}
	endless := func(keeps bool) string {
		var names []string
		for _, k := range clientKinds {
			if k.alone() == forever && (k.keeps > 0) == keeps {
				names = append(names, k.name)
			}
		}
		return strings.Join(names, ", ")
	}
	wantRow(t, page, "| never: only at a token of the new key, or a restart | "+endless(false)+" |\n")
	wantRow(t, page, "| never: only at a restart, HAProxy at a reload | "+endless(true)+" |\n")

	var names []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \| (?:yes|no) \|.*\| ([^|]*)\|$`).FindAllStringSubmatch(page, -1) {
		names = append(names, row[1])
		if example := strings.TrimSpace(row[2]); example != "" {
			if _, err := os.Stat(filepath.Join("../../examples", example)); err != nil {
				t.Error(err)
			}
		}
	}
	var want []string
	for _, k := range clientKinds {
		want = append(want, k.name)
		wantRow(t, page, k.row())
	}
	if !slices.Equal(names, want) {
		t.Errorf("the page's clients are %q", names)
	}
}

func wantRow(t *testing.T, page, row string) {
	t.Helper()
	if !strings.Contains(page, row) {
		t.Errorf("docs/leaked-key.md has no row %q", row)
	}
}

// alone is how long a kind accepts a revoked key that sees no token of another.
func (k clientKind) alone() time.Duration {
	if k.keeps > 0 {
		return k.keeps
	}
	return k.cache
}

// row is how the page's row of a kind begins.
func (k clientKind) row() string {
	drops, after, refuses := "no", longSpan(k.alone(), "a restart"), "-"
	if k.looks && k.keeps == 0 {
		drops, after = "yes", longSpan(k.alone(), "never")
	}
	switch {
	case k.file:
		after, refuses = "a reload", "a reload"
	case !k.looks:
		refuses = longSpan(k.cache, "")
	case k.blind > 0:
		refuses = longSpan(k.blind, "")
	}
	return fmt.Sprintf("| %s | %s | %s | %s |", k.name, drops, after, refuses)
}

// TestLeakedSealingKey plays the section with an attacker who has the sealing key, and
// then one who has the database too.
func TestLeakedSealingKey(t *testing.T) {
	t.Parallel()
	in := newIncident(t, "worst-day.md", "The sealing key has leaked")
	base := "http://" + in.addr
	stolen := in.steal(t, "both", "seal.key", "signet.db")
	in.steal(t, "old-key", "seal.key")

	in.play(t, 1)
	in.opensNothing(t, in.steal(t, "old-key", "signet.db"), "(it was sealed with another key)")
	if _, err := refresh(t.Context(), http.DefaultClient, base, in.pair["refresh"]); err != nil {
		t.Errorf("a new sealing key logs out: %v", err)
	}

	service := verify.New(base, "orders")
	cloned := in.clone(t, stolen)
	if _, err := service.Verify(t.Context(), cloned); err != nil {
		t.Fatalf("a token of the clone: %v", err)
	}
	in.login(t)
	session := onlySession(t, in.steal(t, "later", "signet.db"))
	taken, err := refresh(t.Context(), http.DefaultClient, base, in.refreshOf(t, session))
	if err != nil {
		t.Fatalf("the forged refresh token: %v", err)
	}

	in.play(t, 1)
	for what, token := range map[string]string{"forged": in.refreshOf(t, session), "taken": taken["refresh"], "the victim's": in.pair["refresh"]} {
		in.refuses(t, what, "/api/token/refresh/", "refresh", token, "token_not_valid")
	}
	in.login(t)
	if _, err := service.Verify(t.Context(), in.pair["access"]); err != nil {
		t.Errorf("the new key is refused: %v", err)
	}
	if _, err := service.Verify(t.Context(), cloned); !errors.Is(err, verify.ErrUnknownKey) {
		t.Errorf("a token of the clone, after a token of the new key: %v", err)
	}
	in.allPlayed(t)
}

// clone runs the issuer on stolen data, gives the victim a password, and logs in.
func (in *incident) clone(t *testing.T, stolen string) string {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	in.serve(t, stolen, addr, "http://"+in.addr)
	in.mustSh(t, "echo 'the password of a thief' | signet users passwd kyoko --password-stdin --data "+stolen)
	pair, err := login(t.Context(), http.DefaultClient, "http://"+addr, "kyoko", "the password of a thief")
	if err != nil {
		t.Fatal(err)
	}
	return pair["access"]
}

// onlySession is the newest session that a stolen database has.
func onlySession(t *testing.T, stolen string) issuer.Session {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(stolen, "signet.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	sessions, err := store.ListSessions(t.Context(), "", "", 10)
	if err != nil || len(sessions) == 0 {
		t.Fatalf("%d sessions, %v", len(sessions), err)
	}
	return slices.MaxFunc(sessions, func(a, b issuer.Session) int { return a.Created.Compare(b.Created) })
}

// refreshOf forges the refresh token that a session waits for.
func (in *incident) refreshOf(t *testing.T, s issuer.Session) string {
	return in.forge(t, "rt+jwt", func(c jwt.Token) {
		c.Set("aud", c.Issuer())
		c.Set("sid", s.ID)
		c.Set("jti", s.Current)
		c.Set("exp", s.Expires)
		c.Set("session_exp", s.Ends.Unix())
		c.Set("token_type", "refresh")
	})
}

// TestLeakedDatabase plays the section, and looks for what the file has.
func TestLeakedDatabase(t *testing.T) {
	t.Parallel()
	in := newIncident(t, "worst-day.md", "The database file has leaked")
	added := strings.Fields(in.mustSh(t, "signet clients add billing --audience orders"))
	secret := added[len(added)-1]
	stolen := in.steal(t, "stolen", "signet.db")
	in.holds(t, stolen, secret)
	if session := onlySession(t, stolen); session.Current != claimsOf(t, in.pair["refresh"]).ID {
		t.Errorf("the session waits for %q", session.Current)
	}
	in.opensNothing(t, stolen, "the signing keys in the database cannot be opened without it")

	in.play(t, 1) // reseal
	in.steal(t, "stolen", "seal.key")
	in.opensNothing(t, stolen, "(it was sealed with another key)")
	in.play(t, 1) // rotate
	if _, err := refresh(t.Context(), http.DefaultClient, "http://"+in.addr, in.pair["refresh"]); err != nil {
		t.Errorf("somebody was logged out: %v", err)
	}
	in.play(t, 1) // passwords
	in.refuses(t, "a refresh token from before", "/api/token/refresh/", "refresh", in.pair["refresh"], "token_not_valid")
	in.play(t, 1) // secrets
	if _, err := in.machineToken(t, secret); err == nil {
		t.Error("the old secret is in force")
	}
	in.allPlayed(t)
}

// holds compares the bytes of a stolen file with the page's table.
func (in *incident) holds(t *testing.T, stolen, secret string) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(stolen, "signet.db"))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(secret))
	for _, there := range []string{"kyoko", "kyoko@example.com", "$argon2id$", "billing", "orders", string(hash[:]), in.kid} {
		if !bytes.Contains(file, []byte(there)) {
			t.Errorf("%q is not in the file", there)
		}
	}
	private, err := in.leaked.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	absent := []string{victimsPassword, secret, string(private), base64.RawURLEncoding.EncodeToString(private), "PRIVATE KEY"}
	for _, token := range in.pair {
		parts := strings.Split(token, ".")
		absent = append(absent, parts[1], parts[2])
	}
	for _, text := range absent {
		if bytes.Contains(file, []byte(text)) {
			t.Errorf("%q is in the file", text)
		}
	}
}

func (in *incident) machineToken(t *testing.T, secret string) (map[string]any, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+in.addr+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("billing", secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := map[string]any{}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %v", resp.Status, answer)
	}
	return answer, nil
}

// TestNewIssuerURL changes the URL, and looks at what the section says of either side.
func TestNewIssuerURL(t *testing.T) {
	t.Parallel()
	in := newIncident(t, "worst-day.md", "The issuer's URL changes")
	was := "http://" + in.addr
	now := strings.Replace(was, "127.0.0.1", "localhost", 1)
	added := strings.Fields(in.mustSh(t, "signet clients add billing --audience orders"))
	before, kid := in.pair, in.kid

	in.issuer.kill()
	in.issuer = in.serve(t, in.data, in.addr, now)
	in.login(t)
	if in.kid != kid {
		t.Errorf("another key signs: %s, not %s", in.kid, kid)
	}
	in.refuses(t, "a refresh token from before", "/api/token/refresh/", "refresh", before["refresh"], "Token is invalid")
	if _, err := in.machineToken(t, added[len(added)-1]); err != nil {
		t.Errorf("the client: %v", err)
	}
	keys := &verify.Remote{Issuer: now, JWKSURL: was + "/.well-known/jwks.json"}
	knowsOld, knowsNew := &verify.Verifier{Issuer: was, Audience: "orders", Keys: keys}, &verify.Verifier{Issuer: now, Audience: "orders", Keys: keys}
	for _, c := range []struct {
		service *verify.Verifier
		token   string
		want    error
	}{
		{knowsOld, before["access"], nil}, {knowsOld, in.pair["access"], verify.ErrIssuer},
		{knowsNew, in.pair["access"], nil}, {knowsNew, before["access"], verify.ErrIssuer},
	} {
		if _, err := c.service.Verify(t.Context(), c.token); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.service.Issuer, err, c.want)
		}
	}
	in.namesItself(t, was, now)
	in.mustSh(t, "signet sessions end "+claimsOf(t, in.pair["refresh"]).Session)
	in.play(t, 1)
	in.allPlayed(t)
}

// namesItself: discovery names the one URL, by whatever name it was asked.
func (in *incident) namesItself(t *testing.T, asked, want string) {
	t.Helper()
	resp, err := client.Get(asked + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Issuer string
		Keys   string `json:"jwks_uri"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Issuer != want || got.Keys != want+"/.well-known/jwks.json" {
		t.Errorf("discovery: %+v, %v", got, err)
	}
}

// TestKeyMovesToAnHSM plays the section with SoftHSM.
func TestKeyMovesToAnHSM(t *testing.T) {
	t.Parallel()
	in := newIncident(t, "worst-day.md", "A key must move to an HSM")
	base := "http://" + in.addr
	service := verify.New(base, "orders")
	if _, err := service.Verify(t.Context(), in.pair["access"]); err != nil {
		t.Fatal(err)
	}
	before, kid := in.pair, in.kid
	in.issuer.kill()
	none := in.settings
	in.settings = in.softHSM(t)
	in.opensNothing(t, in.data, "this build has no PKCS #11")
	in.binary = withPKCS11(t)
	in.issuer = in.serve(t, in.data, in.addr, base)
	in.login(t)
	if in.kid != kid {
		t.Errorf("before the rotation %s signs, not %s", in.kid, kid)
	}

	in.play(t, 2) // a rotation, and then at once
	pair, err := refresh(t.Context(), http.DefaultClient, base, before["refresh"])
	if err != nil {
		t.Fatalf("somebody was logged out: %v", err)
	}
	if kidOf(t, pair["access"]) == kid {
		t.Error("the old key signs")
	}
	for what, token := range map[string]string{"new": pair["access"], "old": before["access"]} {
		if _, err := service.Verify(t.Context(), token); err != nil {
			t.Errorf("the %s token: %v", what, err)
		}
	}
	if out, err := in.sh(t, "signet keys import leaked.pem"); err == nil || !strings.Contains(out, "private keys live in a PKCS #11 token, and are made there") {
		t.Errorf("an import: %v\n%s", err, out)
	}
	in.mustSh(t, "signet keys revoke "+kidOf(t, pair["access"]))
	in.login(t)
	if out := in.mustSh(t, "signet keys show "+in.kid); !strings.Contains(out, "pkcs11:token=") {
		t.Errorf("the successor of a revoked key:\n%s", out)
	}
	in.issuer.kill()
	in.settings = none
	in.opensNothing(t, in.data, "lives at pkcs11:")
	in.allPlayed(t)
}

// softHSM makes a token, and returns the settings with which a server finds it.
func (in *incident) softHSM(t *testing.T) []string {
	t.Helper()
	const module = "/usr/lib/softhsm/libsofthsm2.so"
	_, err := exec.LookPath("softhsm2-util")
	_, missing := os.Stat(module)
	needs(t, err == nil && missing == nil, "SoftHSM is installed (apt-get install softhsm2)")
	store := filepath.Join(in.dir, "tokens")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := snippet(t, in.dir, "softhsm2.conf", "directories.tokendir = "+store+"\nobjectstore.backend = file\nlog.level = ERROR\n")
	in.mustSh(t, "SOFTHSM2_CONF="+conf+" softhsm2-util --init-token --free --label signet --pin 'a PIN' --so-pin 'of an officer'")
	return []string{"SOFTHSM2_CONF=" + conf, "SIGNET_KEYS_PKCS11_MODULE=" + module,
		"SIGNET_KEYS_PKCS11_TOKEN=signet", "SIGNET_KEYS_PKCS11_PIN_FILE=" + snippet(t, in.dir, "pin", "a PIN\n")}
}

// withPKCS11 is the program, built as the page says.
func withPKCS11(t *testing.T) string {
	t.Helper()
	_, err := exec.LookPath("gcc")
	needs(t, err == nil, "a C compiler is installed")
	built := filepath.Join(t.TempDir(), "signet")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "pkcs11", "-o", built, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build with PKCS #11: %v\n%s", err, out)
	}
	return built
}
