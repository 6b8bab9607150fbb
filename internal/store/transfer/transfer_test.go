package transfer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signet/internal/audit"
	"signet/internal/store/boltstore"
	"signet/internal/store/transfer"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.UTC)

// filled is a store with some of everything.
func filled(t *testing.T) *boltstore.Store {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "signet.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	ctx, second := t.Context(), start.Truncate(time.Second)
	for i := range 30 {
		must(t, store.CreateUser(ctx, users.User{
			ID: fmt.Sprintf("U%029d", 999-i), Name: fmt.Sprintf("user%03d", i), Hash: fmt.Sprintf("$argon2id$v=19$m=%d$", i%3), Created: second, PasswordChanged: second,
			Epoch: uint64(i), Profile: users.Profile{UserID: fmt.Sprint(i), Groups: []string{"g", fmt.Sprint(i)}, Claims: `{"a":1}`},
		}))
		must(t, store.CreateSession(ctx, issuer.Session{
			ID: fmt.Sprintf("%032x", i), Subject: fmt.Sprintf("U%029d", 999-i/2), Client: "first-party", Created: start, Rotated: start,
			Expires: start.Add(time.Hour), Ends: start.Add(2 * time.Hour), Current: fmt.Sprintf("%032x", 1000+i), KID: "kid", Epoch: uint64(i),
		}))
		must(t, store.UseAssertion(ctx, "client", fmt.Sprint(i), start.Add(time.Duration(i%5)*time.Minute)))
	}
	changed, err := store.UserByName(ctx, "user007")
	must(t, err)
	changed.Disabled = true
	must(t, store.UpdateUser(ctx, changed)) // its Version is another
	_, _, err = store.AdvanceSession(ctx, fmt.Sprintf("%032x", 3), issuer.Step{Presented: fmt.Sprintf("%032x", 1003), Next: fmt.Sprintf("%032x", 2003), Now: start.Add(time.Minute), Expires: start.Add(time.Hour), KID: "kid2", Epoch: 3})
	must(t, err)
	must(t, store.CreateClient(ctx, oauth.Client{ID: "billing", Grants: []string{"client_credentials"}, Secrets: []oauth.Secret{{Hash: []byte{1, 2}, Created: second}}, Created: second}))
	for v := range uint64(3) {
		must(t, store.ReplaceRing(ctx, keystore.Ring{Version: v, Keys: []keystore.Key{{KID: "k", Alg: "ES256", Public: json.RawMessage(`{"kty":"EC"}`), Sealed: "s"}}, MAC: "m"}))
	}
	_, err = store.DecoyKey(ctx)
	must(t, err)
	must(t, store.SetAuditMark(ctx, audit.Mark{Head: audit.Head{Seq: 3, Hash: [32]byte{1}}}))
	return store
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func silent(transfer.Kind, bool, int, int) {}

// interrupted is a target that a kill ends after some steps: before the next one, or
// after it and before anybody knows.
type interrupted struct {
	transfer.Target
	left  int
	after bool
}

var errKilled = errors.New("killed")

func (i *interrupted) Put(ctx context.Context, page transfer.Page, at transfer.Place) error {
	if i.left--; i.left < 0 && !i.after {
		return errKilled
	}
	if err := i.Target.Put(ctx, page, at); err != nil || i.left >= 0 {
		return err
	}
	return errKilled
}

// TestCopyGoesOn interrupts a copy at each of its steps. Whatever was done, the next one
// ends with the same records, and only then the database opens.
func TestCopyGoesOn(t *testing.T) {
	defer transfer.SmallPages()()
	from := filled(t)
	var want []transfer.Counted
	for steps := 0; ; steps++ {
		path := filepath.Join(t.TempDir(), "signet.db")
		killed := 0
		for _, after := range []bool{false, true, true} {
			target := openTarget(t, path, false)
			got, err := transfer.Copy(t.Context(), from, &interrupted{target, steps, after}, silent)
			must(t, target.Close())
			if err == nil {
				want = got
				break
			}
			if !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			killed++
			var filling *transfer.FillingError
			if _, err := boltstore.Open(path, boltstore.Options{}); !errors.As(err, &filling) || filling.From != "bolt:source" {
				t.Fatalf("a database that is half filled opens: %v", err)
			}
		}
		if killed == 0 {
			break // it needs no more steps
		}
		if killed == 3 {
			target := openTarget(t, path, false)
			_, err := transfer.Copy(t.Context(), from, target, silent)
			must(t, errors.Join(err, target.Close()))
		}
		sameAs(t, path, from)
	}
	counts := map[transfer.Kind]int{}
	for _, c := range want {
		counts[c.Kind] = c.Count
	}
	if diff := cmp.Diff(map[transfer.Kind]int{transfer.Users: 30, transfer.Sessions: 30, transfer.Clients: 1, transfer.Assertions: 30, transfer.Rest: 1}, counts); diff != "" {
		t.Errorf("what was copied (-want +got):\n%s", diff)
	}
}

func openTarget(t *testing.T, path string, anew bool) *boltstore.Target {
	t.Helper()
	target, err := boltstore.OpenTarget(path, "bolt:source", anew, boltstore.Options{})
	must(t, err)
	return target
}

// sameAs asks the copy as a server would.
func sameAs(t *testing.T, path string, from *boltstore.Store) {
	t.Helper()
	to, err := boltstore.Open(path, boltstore.Options{})
	must(t, err)
	defer to.Close()
	ask := func(s *boltstore.Store) (all []any) {
		u, err := s.Users(t.Context(), "", 1000)
		must(t, err)
		sessions, err := s.ListSessions(t.Context(), "", "", 1000)
		must(t, err)
		mine, err := s.ListSessions(t.Context(), u[3].ID, "", 1000)
		must(t, err)
		clients, err := s.Clients(t.Context(), "", 1000)
		must(t, err)
		ring, err := s.LoadRing(t.Context())
		must(t, err)
		decoys, err := s.DecoyKey(t.Context())
		must(t, err)
		kinds, err := s.HashKinds(t.Context())
		must(t, err)
		byID, err := s.UserByUserID(t.Context(), "7")
		must(t, err)
		mark, err := s.AuditMark(t.Context())
		must(t, err)
		return append(all, u, sessions, mine, clients, ring, decoys, kinds, byID, mark)
	}
	if diff := cmp.Diff(ask(from), ask(to)); diff != "" {
		t.Errorf("the copy (-from +to):\n%s", diff)
	}
	if err := to.UseAssertion(t.Context(), "client", "4", start.Add(4*time.Minute)); !errors.Is(err, oauth.ErrReplayed) {
		t.Errorf("a used assertion is taken again: %v", err)
	}
}

// TestTargetsThatAreRefused: nothing that is there is touched.
func TestTargetsThatAreRefused(t *testing.T) {
	other := filled(t)
	path := other.Path()
	must(t, other.Close())
	for _, anew := range []bool{false, true} {
		if _, err := boltstore.OpenTarget(path, "bolt:source", anew, boltstore.Options{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a database with other records, anew %v: %v", anew, err)
		}
	}
	half := filepath.Join(t.TempDir(), "signet.db")
	must(t, openTarget(t, half, false).Close())
	var filling *transfer.FillingError
	if _, err := boltstore.OpenTarget(half, "bolt:elsewhere", false, boltstore.Options{}); !errors.As(err, &filling) || !strings.Contains(err.Error(), "fills it from bolt:source") {
		t.Errorf("one that is filled from elsewhere: %v", err)
	}
	target, err := boltstore.OpenTarget(half, "bolt:elsewhere", true, boltstore.Options{})
	must(t, err)
	must(t, target.Close())
}

// TestSourceThatChanged: what was copied before the change shows at the end, and the
// database stays closed.
func TestSourceThatChanged(t *testing.T) {
	defer transfer.SmallPages()()
	from, path := filled(t), filepath.Join(t.TempDir(), "signet.db")
	target := openTarget(t, path, false)
	if _, err := transfer.Copy(t.Context(), from, &interrupted{target, 2, false}, silent); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	u, err := from.UserByName(t.Context(), "user000")
	must(t, err)
	must(t, from.UpdateUser(t.Context(), u))
	if _, err := transfer.Copy(t.Context(), from, target, silent); !errors.Is(err, transfer.ErrDiffers) || !strings.Contains(err.Error(), "users: 30 with the digest") {
		t.Errorf("the source changed: %v", err)
	}
	must(t, target.Close())
	if _, err := boltstore.Open(path, boltstore.Options{}); !errors.As(err, new(*transfer.FillingError)) {
		t.Errorf("a copy that differs opens: %v", err)
	}
	target = openTarget(t, path, true)
	_, err = transfer.Copy(t.Context(), from, target, silent)
	must(t, errors.Join(err, target.Close()))
	sameAs(t, path, from)
}
