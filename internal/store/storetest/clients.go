package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"signet/issuer/oauth"
)

func sampleClient(n int) oauth.Client {
	created := start.Truncate(time.Second)
	return oauth.Client{
		ID: fmt.Sprintf("client-%03d", n), Public: n%2 == 0,
		Grants: []string{"client_credentials", "refresh_token"},
		Scopes: []string{"invoices:read", "invoices:write"}, Audiences: []string{"https://billing.example", "ledger"},
		Alg: "ES256",
		Secrets: []oauth.Secret{
			{Hash: bytes.Repeat([]byte{byte(n)}, 32), Created: created.Add(time.Minute)},
			{Hash: bytes.Repeat([]byte{0xff}, 32), Created: created.Add(time.Hour)},
		},
		Created: created,
	}
}

func testClientRoundTrip(t *testing.T, s Store) {
	odd := oauth.Client{
		ID: "käthe\x00 \xff", Alg: "\xfe", Grants: []string{""},
		Scopes: []string{"b", "a", "b"}, Audiences: []string{"ünï \xfe", "\x00", ""},
		Secrets: []oauth.Secret{{}}, Created: start.Truncate(time.Second).In(time.FixedZone("elsewhere", 3600)),
	}
	bare := oauth.Client{ID: "bare"}
	for _, want := range []oauth.Client{sampleClient(1), sampleClient(2), odd, bare} {
		want.Version = 77 // ignored: a new record is Version 1
		must(t, s.CreateClient(t.Context(), want))
		want.Version = 1
		got, err := s.Client(t.Context(), want.ID)
		must(t, err)
		wantEqual(t, "client", got, want)
		wantUTC(t, want.ID, got.Created)
		for _, secret := range got.Secrets {
			wantUTC(t, "secret of "+want.ID, secret.Created)
		}
		listed, err := s.Clients(t.Context(), "", 9)
		must(t, err)
		i := slices.IndexFunc(listed, func(c oauth.Client) bool { return c.ID == want.ID })
		if i < 0 {
			t.Fatalf("%q is not listed", want.ID)
		}
		wantEqual(t, "client listed", listed[i], want)
	}
}

// testClientEmptyLists: a list without elements comes back as nil.
func testClientEmptyLists(t *testing.T, s Store) {
	c := sampleClient(1)
	want := oauth.Client{ID: c.ID, Created: c.Created, Alg: c.Alg, Public: c.Public, Version: 1}
	c.Grants, c.Scopes, c.Audiences, c.Secrets = []string{}, []string{}, []string{}, []oauth.Secret{}
	must(t, s.CreateClient(t.Context(), c))
	got, err := s.Client(t.Context(), c.ID)
	must(t, err)
	wantEqual(t, "created with empty lists", got, want)

	full := sampleClient(1)
	full.Version = 1
	must(t, s.UpdateClient(t.Context(), full))
	c.Version, c.Secrets = 2, []oauth.Secret{{Hash: []byte{}, Created: c.Created}}
	must(t, s.UpdateClient(t.Context(), c))
	want.Version, want.Secrets = 3, []oauth.Secret{{Created: c.Created}}
	got, err = s.Client(t.Context(), c.ID)
	must(t, err)
	wantEqual(t, "updated to empty lists", got, want)
}

// testClientCopies: the lists given and returned are the caller's own.
func testClientCopies(t *testing.T, s Store) {
	scribble := func(c oauth.Client) {
		c.Grants[0], c.Scopes[0], c.Audiences[0] = "scribbled", "scribbled", "scribbled"
		c.Secrets[0].Hash[0]++
		c.Secrets[1] = oauth.Secret{}
	}
	want := sampleClient(1)
	want.Version = 1
	given := sampleClient(1)
	must(t, s.CreateClient(t.Context(), given))
	scribble(given)
	for range 2 {
		got, err := s.Client(t.Context(), want.ID)
		must(t, err)
		wantEqual(t, "client", got, want)
		scribble(got)
		listed, err := s.Clients(t.Context(), "", 9)
		must(t, err)
		wantEqual(t, "clients", listed, []oauth.Client{want})
		scribble(listed[0])
	}
	given = sampleClient(1)
	given.Version = 1
	must(t, s.UpdateClient(t.Context(), given))
	scribble(given)
	want.Version = 2
	got, err := s.Client(t.Context(), want.ID)
	must(t, err)
	wantEqual(t, "client updated", got, want)
}

func testClientExists(t *testing.T, s Store) {
	want := sampleClient(1)
	must(t, s.CreateClient(t.Context(), want))
	other := sampleClient(2)
	other.ID = want.ID
	wantErr(t, "same id", s.CreateClient(t.Context(), other), oauth.ErrClientExists)
	// Neither case nor a zero byte makes two IDs one.
	for _, id := range []string{"CLIENT-001", want.ID + "\x00", want.ID[:len(want.ID)-1]} {
		other.ID = id
		must(t, s.CreateClient(t.Context(), other))
	}
	got, err := s.Client(t.Context(), want.ID)
	must(t, err)
	want.Version = 1
	wantEqual(t, "client", got, want)
}

func testClientNotFound(t *testing.T, s Store) {
	c := sampleClient(1)
	for _, id := range []string{c.ID, ""} {
		c.ID = id
		wantErr(t, "Client", err2(s.Client(t.Context(), id)), oauth.ErrNoClient)
		wantErr(t, "UpdateClient", s.UpdateClient(t.Context(), c), oauth.ErrNoClient)
		wantErr(t, "RemoveClient", s.RemoveClient(t.Context(), id), oauth.ErrNoClient)
	}
	all, err := s.Clients(t.Context(), "", 10)
	must(t, err)
	if len(all) != 0 {
		t.Errorf("an empty store lists %d clients", len(all))
	}
}

func testClientUpdate(t *testing.T, s Store) {
	other := sampleClient(2)
	must(t, s.CreateClient(t.Context(), sampleClient(1)))
	must(t, s.CreateClient(t.Context(), other))
	c := oauth.Client{
		ID: sampleClient(1).ID, Public: !sampleClient(1).Public, Grants: []string{"password"},
		Scopes: []string{"all"}, Audiences: []string{"other"}, Alg: "RS256",
		Secrets: []oauth.Secret{{Hash: []byte("hash"), Created: start.Truncate(time.Second).Add(2 * time.Hour)}},
		Created: start.Truncate(time.Second).Add(time.Hour), Version: 1,
	}
	must(t, s.UpdateClient(t.Context(), c))
	refused := c
	refused.Alg = "EdDSA"
	for _, version := range []uint64{0, 1, 3} {
		refused.Version = version
		wantErr(t, fmt.Sprintf("version %d", version), s.UpdateClient(t.Context(), refused), oauth.ErrClientConflict)
	}
	c.Version = 2
	got, err := s.Client(t.Context(), c.ID)
	must(t, err)
	wantEqual(t, "client", got, c)
	got, err = s.Client(t.Context(), other.ID)
	must(t, err)
	other.Version = 1
	wantEqual(t, "the other client", got, other)
}

// testClientUpdateOrder: whatever its version, a client that is not there is
// missing and not in conflict.
func testClientUpdateOrder(t *testing.T, s Store) {
	c := sampleClient(1)
	must(t, s.CreateClient(t.Context(), c))
	c.Version = 1
	must(t, s.UpdateClient(t.Context(), c))
	must(t, s.RemoveClient(t.Context(), c.ID))
	for version := range uint64(4) {
		c.Version = version
		wantErr(t, fmt.Sprintf("version %d", version), s.UpdateClient(t.Context(), c), oauth.ErrNoClient)
	}
	wantErr(t, "after the refusals", err2(s.Client(t.Context(), c.ID)), oauth.ErrNoClient)
}

func testClientRemove(t *testing.T, s Store) {
	c, other := sampleClient(1), sampleClient(2)
	must(t, s.CreateClient(t.Context(), c))
	must(t, s.CreateClient(t.Context(), other))
	c.Version = 1
	must(t, s.UpdateClient(t.Context(), c))
	must(t, s.RemoveClient(t.Context(), c.ID))
	wantErr(t, "again", s.RemoveClient(t.Context(), c.ID), oauth.ErrNoClient)
	wantErr(t, "Client", err2(s.Client(t.Context(), c.ID)), oauth.ErrNoClient)
	left, err := s.Clients(t.Context(), "", 9)
	must(t, err)
	other.Version = 1
	wantEqual(t, "clients left", left, []oauth.Client{other})

	successor := sampleClient(3)
	successor.ID = c.ID
	must(t, s.CreateClient(t.Context(), successor))
	got, err := s.Client(t.Context(), c.ID)
	must(t, err)
	successor.Version = 1
	wantEqual(t, "the next with this id", got, successor)
	c.Version = 2
	wantErr(t, "update of the one removed", s.UpdateClient(t.Context(), c), oauth.ErrClientConflict)
}

func testClientPages(t *testing.T, s Store) {
	ids := []string{"Z", "a", "a\x00", "a\x00b", "aa", "b", "z", "é", "\xff"}
	for _, id := range slices.Backward(ids) {
		c := sampleClient(1)
		c.ID = id
		must(t, s.CreateClient(t.Context(), c))
	}
	for limit := 1; limit <= len(ids)+1; limit++ {
		var got []string
		for after := ""; ; {
			page, err := s.Clients(t.Context(), after, limit)
			must(t, err)
			for _, c := range page {
				after = c.ID
				got = append(got, c.ID)
			}
			if len(page) > limit {
				t.Fatalf("a page of %d with limit %d", len(page), limit)
			}
			if len(page) < limit {
				break
			}
		}
		wantEqual(t, fmt.Sprintf("ids in pages of %d", limit), got, ids)
	}
	page, err := s.Clients(t.Context(), "aaa", 2) // not itself an id
	must(t, err)
	wantEqual(t, "first after aaa", page[0].ID, "b")
}

func testClientCreateRace(t *testing.T, s Store) {
	errs := together(64, func(i int) error {
		c := sampleClient(i)
		c.ID = "same"
		return s.CreateClient(t.Context(), c)
	})
	wantOne(t, errs, oauth.ErrClientExists)
	want := sampleClient(slices.Index(errs, nil))
	want.ID, want.Version = "same", 1
	all, err := s.Clients(t.Context(), "", 100)
	must(t, err)
	wantEqual(t, "clients", all, []oauth.Client{want})
}

func testClientUpdateRace(t *testing.T, s Store) {
	must(t, s.CreateClient(t.Context(), sampleClient(1)))
	for round := range 20 {
		read, err := s.Client(t.Context(), sampleClient(1).ID)
		must(t, err)
		errs := together(16, func(i int) error {
			mine := read
			mine.Scopes = []string{fmt.Sprint("scope-", i)}
			return s.UpdateClient(t.Context(), mine)
		})
		wantOne(t, errs, oauth.ErrClientConflict)
		got, err := s.Client(t.Context(), read.ID)
		must(t, err)
		read.Scopes, read.Version = []string{fmt.Sprint("scope-", slices.Index(errs, nil))}, uint64(round+2)
		wantEqual(t, "the winner's record", got, read)
	}
}

// testClientRemoveRace: one call removes the client, and no update at the same
// moment brings it back.
func testClientRemoveRace(t *testing.T, s Store) {
	c := sampleClient(1)
	for range 20 {
		c.Version = 0
		must(t, s.CreateClient(t.Context(), c))
		c.Version = 1
		removals := make([]error, 8)
		errs := together(16, func(i int) error {
			if i%2 == 0 {
				removals[i/2] = s.RemoveClient(t.Context(), c.ID)
				return nil
			}
			err := s.UpdateClient(t.Context(), c)
			if errors.Is(err, oauth.ErrNoClient) || errors.Is(err, oauth.ErrClientConflict) {
				return nil
			}
			return err
		})
		must(t, errors.Join(errs...))
		wantOne(t, removals, oauth.ErrNoClient)
		wantErr(t, "after the removal", err2(s.Client(t.Context(), c.ID)), oauth.ErrNoClient)
	}
}
