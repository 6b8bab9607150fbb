package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMovingFromDjango plays docs/moving-from-django.md on a Django project: the
// commands, settings and code are those of the page, with other addresses.
func TestMovingFromDjango(t *testing.T) {
	python := os.Getenv("TEST_PYTHON")
	needs(t, python != "", "TEST_PYTHON names a python with Django, djangorestframework, djangorestframework-simplejwt and PyJWT[crypto]")
	m := newMove(t, python)
	m.serve(t, 0)
	for _, step := range []struct {
		name string
		play func(*testing.T)
	}{
		{"configurations of the page", m.configurations},
		{"before", m.before},
		{"refused rows", m.refusedRows},
		{"commands of the page", m.importedByThePage},
		{"what stays the same for the front end", m.frontEndStays},
		{"services take both kinds", m.servicesTakeBoth},
		{"stale permissions", m.stalePermissions},
		{"token that is too big", m.tooBig},
		{"the second import", m.secondImport},
		{"after", m.after},
		{"back again", m.backAgain},
		{"django-rest-framework-jwt", m.olderDialect},
	} {
		if !t.Run(step.name, step.play) {
			t.Fatal("a later step needs this one")
		}
	}
}

// person is an account of people.json.
type person struct {
	Username, Password, Email string
	Flags                     map[string]bool
	Groups                    []string
}

// active: no flag says otherwise, and there is a password.
func (p person) active() bool {
	on, said := p.Flags["is_active"]
	return p.Password != "" && (on || !said)
}

// move is the project, the issuer beside it, and what was got from either so far.
type move struct {
	python  string
	project string // a copy of testdata/django
	addr    string
	data    string
	text    string   // of the page
	page    []string // its fenced blocks
	people  []person
	issuer  *process
	old     map[string]tokens // by user name, as Django signed them
	clients int
}

type tokens struct{ Access, Refresh string }

func newMove(t *testing.T, python string) *move {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := &move{python: python, project: filepath.Join(dir, "shop"), addr: addr, data: filepath.Join(dir, "data"), old: map[string]tokens{}}
	people, err := os.ReadFile("testdata/django/people.json")
	if err := errors.Join(err, json.Unmarshal(people, &m.people), os.CopyFS(m.project, os.DirFS("testdata/django"))); err != nil {
		t.Fatal(err)
	}
	m.readPage(t)
	return m
}

// readPage puts the page's code into the project.
func (m *move) readPage(t *testing.T) {
	t.Helper()
	page, err := os.ReadFile("../../docs/moving-from-django.md")
	if err != nil {
		t.Fatal(err)
	}
	m.text = string(page)
	for _, found := range regexp.MustCompile("(?ms)^```[a-z]+\n(.*?)^```$").FindAllSubmatch(page, -1) {
		m.page = append(m.page, string(found[1]))
	}
	for file, begin := range map[string]string{
		"signet_auth.py": "# signet_auth.py", "registration.py": "# registration.py", "back.py": "# back.py", "token_claims.py": "# token_claims.py",
		"moving.py": "# settings.py, added: both", "after.py": "# settings.py, added: Signet's", "old_dialect.py": "# settings.py, added: the older",
	} {
		snippet(t, m.project, file, m.block(t, begin, 0))
	}
}

// block is the page's n-th block that begins so, with the addresses of the test.
func (m *move) block(t *testing.T, begin string, n int) string {
	t.Helper()
	for _, text := range m.page {
		if strings.HasPrefix(text, begin) {
			if n--; n < 0 {
				return strings.NewReplacer("https://login.example.com", "http://"+m.addr,
					"127.0.0.1:8080", m.addr, "/var/lib/signet", m.data).Replace(text)
			}
		}
	}
	t.Fatalf("the page has no block that begins with %q", begin)
	return ""
}

// env is that of a terminal of the page.
func (m *move) env(extra ...string) []string {
	env := testEnv("SIGNET_CONFIG="+filepath.Join(m.project, "signet.yaml"), "PYTHONDONTWRITEBYTECODE=1",
		"PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	return append(env, extra...)
}

// sh runs a command line in the project, and returns what it wrote and how it ended.
func (m *move) sh(t *testing.T, line string) (out string, exit int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir, cmd.Env = m.project, m.env("PYTHON="+m.python)
	text, err := cmd.CombinedOutput()
	if ended := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func (m *move) mustSh(t *testing.T, line string) string {
	t.Helper()
	out, exit := m.sh(t, line)
	if exit != 0 {
		t.Fatalf("%s ended with %d:\n%s", line, exit, out)
	}
	return out
}

// console runs a console block of the page, in the project.
func (m *move) console(t *testing.T, n int) {
	t.Helper()
	runConsole(t, m.env("TEST_PYTHON="+m.python), "", fmt.Sprintf("$ cd %s; python() { \"$TEST_PYTHON\" \"$@\"; }\n%s", m.project, m.block(t, "$ ", n)))
}

// serve starts the issuer by the page's n-th configuration and its command.
func (m *move) serve(t *testing.T, n int) {
	t.Helper()
	snippet(t, m.project, "signet.yaml", m.block(t, "# signet.yaml", n))
	cmd := exec.Command("sh", "-c", "exec "+m.block(t, "signet serve", 0))
	cmd.Dir, cmd.Env = m.project, m.env()
	m.issuer = launch(t, m.addr, cmd)
}

// configurations: as they stand on the page they have no fault.
func (m *move) configurations(t *testing.T) {
	for n := range 2 {
		snippet(t, m.project, "page.yaml", strings.ReplaceAll(m.block(t, "# signet.yaml", n), "http://"+m.addr, "https://login.example.com"))
		m.mustSh(t, "signet serve --check --config page.yaml")
	}
}

// before: Django alone, whose tokens are kept for later. Its logins make new hashes of
// all others than its first kind: the old ones are put back.
func (m *move) before(t *testing.T) {
	m.mustSh(t, `"$PYTHON" manage.py migrate -v 0 && "$PYTHON" manage.py seed`)
	base := m.django(t)
	for _, p := range m.people {
		if p.active() {
			m.old[p.Username] = obtain(t, base, p)
			wantUser(t, base, "Bearer "+m.old[p.Username].Access, "django.contrib.auth.models", p.Username)
		}
	}
	m.mustSh(t, `"$PYTHON" manage.py seed`)
}

// django serves the project, as the stages and more variables say, until the test ends.
func (m *move) django(t *testing.T, env ...string) (base string) {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(m.python, "manage.py", "runserver", "--noreload", addr)
	cmd.Dir, cmd.Env = m.project, m.env(env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log := new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		if strings.Contains(log.String(), "Traceback") {
			t.Errorf("Django failed:\n%s", log)
		}
	})
	if err := waitFor(30*time.Second, func() error { return answers(addr) }); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	return "http://" + addr
}

func answers(addr string) error {
	resp, err := client.Get("http://" + addr + "/orders/")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// reply is what a front end sees; tokens in it are replaced.
type reply struct {
	Status          int
	Type, Challenge string
	Body            string
	raw             string
}

var anyToken = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)

// call posts JSON, or gets if there is none.
func call(t *testing.T, address, authorization string, body any) reply {
	t.Helper()
	method, content := http.MethodGet, io.Reader(nil)
	if body != nil {
		method, content = http.MethodPost, bytes.NewReader(mustJSON(t, body))
	}
	req, err := http.NewRequestWithContext(t.Context(), method, address, content)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("WWW-Authenticate"),
		anyToken.ReplaceAllString(string(text), "<JWT>"), string(text)}
}

func (a reply) wants(t *testing.T, what string, status int, part string) {
	t.Helper()
	if a.Status != status || !strings.Contains(a.raw, part) {
		t.Errorf("%s: %d %s, want %d with %s", what, a.Status, a.raw, status, part)
	}
}

func (a reply) into(t *testing.T, value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.raw), value); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%d %s: %v", a.Status, a.raw, err)
	}
}

type object = map[string]any

func credentials(p person) object { return object{"username": p.Username, "password": p.Password} }

// obtain is the login of a front end.
func obtain(t *testing.T, base string, p person) (pair tokens) {
	t.Helper()
	call(t, base+"/api/token/", "", credentials(p)).into(t, &pair)
	return pair
}

// asked is what the project says of who asks.
type asked struct {
	From                string
	ID                  any
	Username            string
	Staff               bool `json:"is_staff"`
	Super               bool `json:"is_superuser"`
	Groups, Permissions []string
}

func whoami(t *testing.T, base, authorization string) (who asked) {
	t.Helper()
	call(t, base+"/orders/", authorization, nil).into(t, &who)
	return who
}

func wantUser(t *testing.T, base, authorization, from, name string) {
	t.Helper()
	if who := whoami(t, base, authorization); who.From != from || who.Username != name {
		t.Errorf("%s was taken for %+v", name, who)
	}
}

// refusedRows: what the page says of rows that are not taken, before anything is there.
// They are then put right in Django.
func (m *move) refusedRows(t *testing.T) {
	m.mustSh(t, `"$PYTHON" manage.py dumpdata auth.user auth.group auth.permission contenttypes --natural-foreign --output users.json`)
	out, exit := m.sh(t, "signet users import users.json --dry-run")
	if exit != 1 || !strings.Contains(out, "9 created, 0 updated, 0 unchanged; 2 refused, see users.json.refused") {
		t.Errorf("exit %d:\n%s", exit, out)
	}
	refused := m.mustSh(t, "cat users.json.refused")
	for _, reason := range []string{` "Amy": its name is that of line 1 (pk 1) already`, ` "old": this password hash cannot be used: this kind of password hash is not taken: unknown scheme "md5"`} {
		if !regexp.MustCompile(`(?m)^1: pk \d+` + regexp.QuoteMeta(reason)).MatchString(refused) {
			t.Errorf("no row is refused for %s:\n%s", reason, refused)
		}
	}
	m.shell(t, `User.objects.filter(username__in=["Amy", "old"]).delete()`)
	m.people = slices.DeleteFunc(m.people, func(p person) bool { return p.Username == "Amy" || p.Username == "old" })
}

// shell runs Python in the project.
func (m *move) shell(t *testing.T, text string) string {
	t.Helper()
	snippet(t, m.project, "typed.py", "from django.contrib.auth.models import Group, Permission, User\n"+text+"\n\n")
	return m.mustSh(t, `"$PYTHON" manage.py shell -v 0 < typed.py`)
}

// importedByThePage runs both console blocks. Nobody's password was known to them.
func (m *move) importedByThePage(t *testing.T) {
	m.console(t, 0)
	for _, p := range m.people {
		if p.Username != "robot" && p.Username != "gone" {
			obtain(t, m.issuer.base, p)
		}
	}
	m.shell(t, `u = User.objects.get(username="fay"); u.set_password("fay's second password"); u.save()`)
	i := slices.IndexFunc(m.people, func(p person) bool { return p.Username == "fay" })
	m.people[i].Password = "fay's second password"
	m.console(t, 1)
}

// frontEndStays: the same calls get the same answers from both.
func (m *move) frontEndStays(t *testing.T) {
	django := m.django(t)
	for _, p := range m.people {
		t.Run(p.Username, func(t *testing.T) {
			before, now := m.frontEnd(t, django, p), m.frontEnd(t, m.issuer.base, p)
			same := cmp.FilterPath(func(path cmp.Path) bool { return path.Last().String() == ".raw" }, cmp.Ignore())
			if diff := cmp.Diff(before, now, same); diff != "" {
				t.Errorf("Django and Signet differ:\n%s", diff)
			}
		})
	}
	if got := call(t, m.issuer.base+"/api/token/refresh/", "", object{"refresh": m.old["amy"].Refresh}); got.Body != `{"detail":"Token is invalid","code":"token_not_valid"}` {
		t.Errorf("an old refresh token: %d %s", got.Status, got.Body)
	}
}

// frontEnd is what a front end does with one user's credentials.
func (m *move) frontEnd(t *testing.T, base string, p person) map[string]reply {
	t.Helper()
	post := func(action string, body any) reply { return call(t, base+"/api/token/"+action, "", body) }
	login := post("", credentials(p))
	got := map[string]reply{
		"obtain":             login,
		"wrong password":     post("", object{"username": p.Username, "password": "wrong"}),
		"no password":        post("", object{"username": p.Username}),
		"blank":              post("", object{"username": "", "password": ""}),
		"null":               post("", object{"username": nil, "password": nil}),
		"other types":        post("", object{"username": []int{1}, "password": object{}}),
		"a list":             post("", []string{}),
		"get":                call(t, base+"/api/token/", "", nil),
		"refresh garbage":    post("refresh/", object{"refresh": "a.b.c"}),
		"refresh of nothing": post("refresh/", object{}),
		"verify garbage":     post("verify/", object{"token": "a.b.c"}),
	}
	if login.Status != http.StatusOK {
		return got
	}
	var pair tokens
	login.into(t, &pair)
	got["refresh"] = post("refresh/", object{"refresh": pair.Refresh})
	got["refresh again"] = post("refresh/", object{"refresh": pair.Refresh})
	got["refresh with access"] = post("refresh/", object{"refresh": pair.Access})
	got["verify access"] = post("verify/", object{"token": pair.Access})
	got["verify refresh"] = post("verify/", object{"token": pair.Refresh})
	return got
}

// servicesTakeBoth: old and new tokens name the same user, in both variants.
func (m *move) servicesTakeBoth(t *testing.T) {
	t.Run("by token", m.byToken)
	t.Run("by table", m.byTable)
}

func (m *move) byToken(t *testing.T) {
	base := m.django(t, "STAGE=moving")
	none, both := []string{}, []string{"orders.add_order", "orders.ship_order"}
	for name, want := range map[string]asked{
		"amy":   {ID: "1", Groups: []string{"adders"}, Permissions: both[:1]},
		"ben":   {ID: "2", Groups: none, Permissions: both[1:], Staff: true},
		"chloé": {ID: "3", Groups: []string{"adders", "shipers"}, Permissions: both},
		"dora":  {ID: "4", Groups: none, Permissions: none},
		"root":  {ID: "8", Groups: none, Permissions: both, Staff: true, Super: true},
	} {
		want.From, want.Username = "signet_auth", name
		got := whoami(t, base, "Bearer "+obtain(t, m.issuer.base, m.person(name)).Access)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		if old := whoami(t, base, "Bearer "+m.old[name].Access); old.ID != want.ID {
			t.Errorf("%s: the old token's user is %+v", name, old)
		}
	}
	m.refusesAlike(t, base)
}

func (m *move) person(name string) person {
	return m.people[slices.IndexFunc(m.people, func(p person) bool { return p.Username == name })]
}

func (m *move) byTable(t *testing.T) {
	base := m.django(t, "STAGE=moving", "USERS=signet_auth.ByTable")
	for _, p := range m.people {
		if p.active() {
			authorization := "Bearer " + obtain(t, m.issuer.base, p).Access
			wantUser(t, base, authorization, "django.contrib.auth.models", p.Username)
			wantUser(t, base, "Bearer "+m.old[p.Username].Access, "django.contrib.auth.models", p.Username)
		}
	}
	if who := whoami(t, base, "Bearer "+obtain(t, m.issuer.base, m.person("ben")).Access); who.ID != 2. || !who.Staff || !slices.Equal(who.Permissions, []string{"orders.ship_order"}) {
		t.Errorf("ben is %+v", who)
	}
	m.refusesAlike(t, base)
	m.mustSh(t, "echo 'a password of nobody' | signet users add stranger --password-stdin")
	token := obtain(t, m.issuer.base, person{Username: "stranger", Password: "a password of nobody"}).Access
	call(t, base+"/orders/", "Bearer "+token, nil).wants(t, "an account that Django does not know", 401, `"user_not_found"`)
	m.mustSh(t, "signet users remove stranger")
}

// refusesAlike: tokens that no service may take are 401, and none is a 500.
func (m *move) refusesAlike(t *testing.T, base string) {
	t.Helper()
	pair := obtain(t, m.issuer.base, m.person("amy"))
	var keys struct{ Keys []struct{ Kid, Kty string } }
	call(t, m.issuer.base+"/.well-known/jwks.json", "", nil).into(t, &keys)
	_, rest, _ := strings.Cut(pair.Access, ".")
	for _, key := range keys.Keys {
		for _, alg := range []string{"ES256", "RS256", "HS256", "none"} {
			header := base64.RawURLEncoding.EncodeToString(mustJSON(t, object{"alg": alg, "kid": key.Kid, "typ": "JWT"}))
			if forged := header + "." + rest; forged != pair.Access {
				call(t, base+"/orders/", "Bearer "+forged, nil).wants(t, "forged, "+alg+" with the key of "+key.Kty, 401, "token_not_valid")
			}
		}
	}
	for what, token := range map[string]string{"refresh token": pair.Refresh, "token of a service": m.machine(t), "old refresh token": m.old["amy"].Refresh} {
		call(t, base+"/orders/", "Bearer "+token, nil).wants(t, what, 401, "token_not_valid")
	}
}

// machine is a service's own token for orders, of a client that is new each time.
func (m *move) machine(t *testing.T) string {
	t.Helper()
	m.clients++
	id := fmt.Sprintf("robot-%d", m.clients)
	secret := strings.TrimSpace(m.mustSh(t, "signet clients add "+id+" --audience orders | tail -n 1"))
	resp, err := client.PostForm(m.issuer.base+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Token == "" {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return got.Token
}

// stalePermissions: changed here, they show after the refresh.
func (m *move) stalePermissions(t *testing.T) {
	base := m.django(t, "STAGE=moving")
	pair := obtain(t, m.issuer.base, m.person("amy"))
	call(t, base+"/orders/", "Bearer "+pair.Access, object{}).wants(t, "post", 201, "{}")
	m.mustSh(t, "signet users set amy --permission orders.ship_order")
	call(t, base+"/orders/", "Bearer "+pair.Access, object{}).wants(t, "post with a stale token", 201, "{}")
	call(t, m.issuer.base+"/api/token/refresh/", "", object{"refresh": pair.Refresh}).into(t, &pair)
	call(t, base+"/orders/", "Bearer "+pair.Access, object{}).wants(t, "post after the refresh", 403, "You do not have permission")
	m.mustSh(t, m.said(t, "signet users set amy --permission orders.add_order"))
	m.mustSh(t, m.said(t, `signet users set amy --claims '{"plan":"gold"}'`))
}

// wantsPlan: a claim of amy's own is in her token.
func (m *move) wantsPlan(t *testing.T, want any) {
	t.Helper()
	if payload := payloadOf(t, obtain(t, m.issuer.base, m.person("amy")).Access); payload["plan"] != want {
		t.Errorf("the plan in the token is %v, want %v", payload["plan"], want)
	}
}

// said is a command that stands in the page.
func (m *move) said(t *testing.T, command string) string {
	t.Helper()
	if !strings.Contains(m.text, command) {
		t.Errorf("the page does not say %s", command)
	}
	return command
}

// tooBig: the import says so, then the login, and the log names the claim.
func (m *move) tooBig(t *testing.T) {
	m.shell(t, `u = User.objects.get(username="dora")
t = Permission.objects.get(codename="add_order").content_type
for i in range(150): u.user_permissions.add(Permission.objects.create(content_type=t, codename=f"permission_number_{i}", name=str(i)))`)
	m.wantsPlan(t, "gold")
	m.mustSh(t, `"$PYTHON" manage.py dumpdata auth.user auth.group auth.permission contenttypes --natural-foreign --output users.json`)
	m.wantsImport(t, "signet users import users.json --update --update-passwords", `warning: 1 account has more to say than a token takes; "dora": it cannot log in`)
	m.wantsPlan(t, "gold") // which no dump can tell
	call(t, m.issuer.base+"/api/token/", "", credentials(m.person("dora"))).wants(t, "login", 500, "")
	m.issuer.waitLog(t, "permissions (")
	m.shell(t, `Permission.objects.filter(codename__startswith="permission_number_").delete()`)
	m.console(t, 1)
	obtain(t, m.issuer.base, m.person("dora"))
}

// secondImport: nothing changes, but for what changed in Django; --update takes that over.
func (m *move) secondImport(t *testing.T) {
	m.wantsImport(t, "signet users import users.json", "0 created, 0 updated, 9 unchanged; 0 refused")
	pair := obtain(t, m.issuer.base, m.person("amy"))
	m.shell(t, `User.objects.filter(username="amy").update(email="amy@new.example.com"); User.objects.filter(username="ben").update(is_active=False)`)
	m.mustSh(t, `"$PYTHON" manage.py dumpdata auth.user auth.group auth.permission contenttypes --natural-foreign --output users.json`)
	m.wantsImport(t, "signet users import users.json", "0 created, 0 updated, 7 unchanged, 2 left as they are; 0 refused")
	m.wantsImport(t, "signet users import users.json --update", "0 created, 2 updated (1 disabled), 7 unchanged; 0 refused")
	call(t, m.issuer.base+"/api/token/refresh/", "", object{"refresh": pair.Refresh}).into(t, &pair)
	if payload := payloadOf(t, pair.Access); payload["email"] != "amy@new.example.com" || payload["user_id"] != "1" {
		t.Errorf("the token says %v", payload)
	}
	call(t, m.issuer.base+"/api/token/", "", credentials(m.person("ben"))).wants(t, "disabled in Django", 401, "No active account")
	m.mustSh(t, "signet users enable ben")
	m.wantsImport(t, "signet users import users.json --update", "1 updated (1 disabled), 8 unchanged")
	m.nameOfAnother(t)
}

// nameOfAnother: a name that was given to another person does not bring its account along.
func (m *move) nameOfAnother(t *testing.T) {
	m.shell(t, `User.objects.filter(username="gone").delete(); User.objects.create_user("gone")`)
	m.mustSh(t, `"$PYTHON" manage.py dumpdata auth.user auth.group auth.permission contenttypes --natural-foreign --output users.json`)
	out, exit := m.sh(t, "signet users import users.json --update; cat users.json.refused")
	if exit != 0 || !strings.Contains(out, `"gone": "gone" is there with another user_id, and may be somebody else`) {
		t.Errorf("exit %d:\n%s", exit, out)
	}
	m.mustSh(t, strings.Replace(m.said(t, "signet users remove NAME"), "NAME", "gone", 1))
	m.wantsImport(t, "signet users import users.json --update", "1 created, 0 updated, 8 unchanged; 0 refused")
}

func (m *move) wantsImport(t *testing.T, command, want string) {
	t.Helper()
	if out := m.mustSh(t, command); !strings.Contains(out, want) {
		t.Errorf("%s: want %s, got\n%s", command, want, out)
	}
}

func payloadOf(t *testing.T, token string) (payload object) {
	t.Helper()
	parts := strings.Split(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err := errors.Join(err, json.Unmarshal(text, &payload)); err != nil {
		t.Fatal(err)
	}
	return payload
}

// after: services take Signet's tokens alone, and new users come in.
func (m *move) after(t *testing.T) {
	for _, users := range []string{"signet_auth.ByToken", "signet_auth.ByTable"} {
		base := m.django(t, "STAGE=moving,after", "USERS="+users)
		if who := whoami(t, base, "Bearer "+obtain(t, m.issuer.base, m.person("amy")).Access); who.Username != "amy" {
			t.Errorf("%s: amy is %+v", users, who)
		}
		call(t, base+"/orders/", "Bearer "+m.old["amy"].Access, nil).wants(t, users+": an old token", 401, `"token_class":"SignetToken","token_type":"access","message":"Token is invalid"`)
	}
	out := m.shell(t, `from registration import register
from subprocess import CalledProcessError
print(register("--hanna", "hanna's password, ünïcode", "--update").pk)
try: register("short", "short", "")
except CalledProcessError as error: print(error.stderr)
try: register("lines", "a first line\nand a second one", "")
except ValueError as error: print(error)
print(User.objects.filter(username__in=["short", "lines"]).count())`)
	if !strings.Contains(out, "it has 5 characters and must have 8 or more") || !strings.HasSuffix(strings.TrimSpace(out), "a password is one line\n0") {
		t.Errorf("registration printed\n%s", out)
	}
	payload := payloadOf(t, obtain(t, m.issuer.base, person{Username: "--hanna", Password: "hanna's password, ünïcode"}).Access)
	if payload["email"] != "--update" || payload["user_id"] != strings.Fields(out)[0] {
		t.Errorf("the new account's token says %v, and Django\n%s", payload, out)
	}
}

// backAgain: Django takes the passwords of before, and after back.py those of now.
func (m *move) backAgain(t *testing.T) {
	base := m.django(t)
	m.mustSh(t, "echo 'a password that amy changed' | signet users passwd --password-stdin -- amy")
	obtain(t, base, m.person("amy"))
	m.mustSh(t, m.said(t, "signet users export back.jsonl"))
	m.mustSh(t, strings.Replace(m.said(t, "python manage.py shell < back.py"), "python", `"$PYTHON"`, 1))
	call(t, base+"/api/token/", "", credentials(m.person("amy"))).wants(t, "the password of before", 401, "No active account")
	obtain(t, base, person{Username: "amy", Password: "a password that amy changed"})
	obtain(t, base, m.person("root"))
	obtain(t, base, person{Username: "--hanna", Password: "hanna's password, ünïcode"})
}

// olderDialect: the routes by the page's configuration, a service by simplejwt and
// one by PyJWT. django-rest-framework-jwt itself runs on no Django of today; its
// answers are recorded in internal/web/drfjwt.
func (m *move) olderDialect(t *testing.T) {
	m.issuer.kill()
	m.serve(t, 1)
	post := func(route string, body object) reply {
		return call(t, m.issuer.base+"/api-token-"+route+"/", "", body)
	}
	post("auth", object{"username": "root", "password": "wrong"}).wants(t, "wrong password", 400, `{"non_field_errors":["Unable to log in with provided credentials."]}`)
	old := strings.TrimSpace(m.shell(t, `import jwt, time
from django.conf import settings
print(jwt.encode({"user_id": 8, "username": "root", "exp": int(time.time()) + 300, "email": ""}, settings.SECRET_KEY, "HS256"))`))
	post("refresh", object{"token": old}).wants(t, "an old token", 400, `{"non_field_errors":["Error decoding signature."]}`)
	var got struct{ Token string }
	post("auth", credentials(m.person("root"))).into(t, &got)
	post("verify", object{"token": got.Token}).wants(t, "verify", 200, got.Token)
	post("refresh", object{"token": got.Token}).into(t, &got)
	if payload := payloadOf(t, got.Token); payload["user_id"] != 8. || payload["username"] != "root" {
		t.Errorf("the token says %v", payload)
	}
	base := m.django(t, "STAGE=moving,after,old_dialect")
	wantUser(t, base, "JWT "+got.Token, "signet_auth", "root")
	wantUser(t, base, "Bearer "+got.Token, "signet_auth", "root")
	m.claimsByPyJWT(t, got.Token, old)
}

// claimsByPyJWT lets the page's code read tokens, with and without the old key.
func (m *move) claimsByPyJWT(t *testing.T, token, old string) {
	t.Helper()
	forged := old[:strings.LastIndex(old, ".")+1] + strings.Repeat("A", 43)
	snippet(t, m.project, "service.py", `import json, sys
import jwt
from token_claims import claims
for header in sys.argv[1:]:
    try: print(claims(header)["user_id"])
    except jwt.PyJWTError as error: print(type(error).__name__)
`)
	headers := fmt.Sprintf("'JWT %[1]s' 'Bearer %[1]s' 'JWT %[2]s' 'JWT %[3]s' 'JWT %[4]s' 'Token %[1]s' 'JWT x'", token, old, forged, m.machine(t))
	for env, want := range map[string]string{
		`OLD_SECRET_KEY="$("$PYTHON" -c 'import shop.settings as s; print(s.SECRET_KEY)')"`: "8 8 8 InvalidSignatureError InvalidTokenError InvalidTokenError DecodeError",
		"": "8 8 PyJWKClientError PyJWKClientError InvalidTokenError InvalidTokenError DecodeError",
	} {
		out := m.mustSh(t, env+` "$PYTHON" service.py `+headers)
		if got := strings.Join(strings.Fields(out), " "); got != want {
			t.Errorf("with %q: %s, want %s", env, got, want)
		}
	}
}
