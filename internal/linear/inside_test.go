package linear

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"signet/internal/store/boltstore"
	"signet/issuer"
	"signet/keystore"
	"signet/users"
)

const password = "correct horse battery staple"

// inside is an issuer in this process, over sessions and accounts that tests choose.
type inside struct {
	*issuer.Issuer
	accounts *users.Directory
}

// parts are what an issuer under test is made of.
type parts struct {
	sessions issuer.Store
	accounts issuer.Users
}

// newInside makes an issuer over a real database, but for the parts that replace puts in.
func newInside(t *testing.T, window time.Duration, accounts []string, replace func(*parts)) *inside {
	t.Helper()
	dir := t.TempDir()
	db, err := boltstore.Open(filepath.Join(dir, "signet.db"), boltstore.Options{})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	sealing, err := keystore.OpenSealingKey(filepath.Join(dir, "seal.key"), true)
	must(t, err)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	keys, err := keystore.Open(t.Context(), keystore.Options{Store: db, Sealing: sealing, Log: log, Policy: &keystore.Policy{
		Algorithms: []string{"ES256"}, RSABits: 2048, PublishAhead: 24 * time.Hour, JWKSMaxAge: 5 * time.Minute,
		AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour,
	}})
	must(t, err)
	directory, err := users.New(users.Options{Store: db, Params: users.Params{MemoryKiB: 64, Time: 1, Threads: 1, Queue: 64}})
	must(t, err)
	for _, name := range accounts {
		_, err := directory.Create(t.Context(), name, password, users.Profile{})
		must(t, err)
	}
	p := parts{sessions: db, accounts: directory}
	replace(&p)
	return &inside{accounts: directory, Issuer: issuer.New(issuer.Options{
		Store: p.sessions, Users: p.accounts, Signer: keys, Keys: keys, Log: log, Policy: issuer.Policy{
			URL: "https://login.example.test", AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour,
			SessionLifetime: 30 * 24 * time.Hour, MaxTokenBytes: 4096, Rotate: true, ReuseWindow: window,
		},
	})}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (i *inside) Await(context.Context) error { return nil }

func (i *inside) Do(ctx context.Context, r Request) Reply {
	tokens, err := i.do(ctx, r)
	switch {
	case err == nil:
		return Reply{Answer: Done, Token: tokens.Refresh}
	case errors.Is(err, issuer.ErrInactive), errors.Is(err, users.ErrCredentials):
		return Reply{Answer: Inactive}
	case errors.Is(err, issuer.ErrNoSession), errors.Is(err, issuer.ErrReused):
		return Reply{Answer: Refused}
	case errors.Is(err, users.ErrConflict): // others have changed the account again and again
		return Reply{Answer: NotMade}
	default:
		return Reply{Answer: Strange, Detail: err.Error()}
	}
}

func (i *inside) do(ctx context.Context, r Request) (tokens issuer.Tokens, err error) {
	switch r.Kind {
	case Login:
		return i.Login(ctx, issuer.Attempt{Client: issuer.FirstParty, Name: r.User, Password: password})
	case Refresh:
		return i.Issuer.Refresh(ctx, r.Token)
	case Verify:
		_, err = i.Issuer.Verify(ctx, r.Token)
	case Logout:
		err = i.Issuer.Logout(ctx, r.Token)
	case EndSession:
		err = i.Issuer.EndSession(ctx, r.Session)
	case EndUser:
		err = i.endUser(ctx, r.User)
	case Disable:
		if _, err = i.accounts.Disable(ctx, r.User); err == nil {
			err = i.endUser(ctx, r.User)
		}
	case Enable:
		_, err = i.accounts.Enable(ctx, r.User)
	}
	return tokens, err
}

func (i *inside) endUser(ctx context.Context, name string) error {
	u, err := i.accounts.ByName(ctx, name)
	if err == nil {
		_, err = i.EndSubject(ctx, u.ID)
	}
	return err
}
