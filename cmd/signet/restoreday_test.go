package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signet/keystore"
)

// TestLostDatabase plays the section, and looks at each row of its table that needs no HSM
// and no day to pass.
func TestLostDatabase(t *testing.T) {
	t.Parallel()
	in := newIncident(t, "worst-day.md", "The database is gone")
	base := "http://" + in.addr
	in.mustSh(t, "echo 'the passphrase of mori' | signet users add mori --password-stdin")
	in.mustSh(t, "signet users remove mori")
	ended, refreshed := in.pair, in.another(t)
	in.play(t, 1) // backup

	leaked, since := in.kid, in.another(t)
	renewed, err := refresh(t.Context(), http.DefaultClient, base, refreshed["refresh"])
	if err != nil {
		t.Fatal(err)
	}
	in.mustSh(t, "signet sessions end "+claimsOf(t, ended["refresh"]).Session)
	in.mustSh(t, "signet keys revoke "+leaked)
	fresh := in.another(t)
	in.mustSh(t, "echo 'another passphrase' | signet users passwd kyoko --password-stdin")
	in.mustSh(t, "signet users disable kyoko")
	in.issuer.kill()
	if err := os.Remove(filepath.Join(in.data, "signet.db")); err != nil {
		t.Fatal(err)
	}
	in.opensNothing(t, in.data, "signet.db is missing, but the sealing key of a database is there")

	in.play(t, 1) // restore
	if state := stateOf(listKeys(t, in.data), leaked); state != keystore.Active {
		t.Errorf("the key that was revoked is %q", state)
	}
	if out := in.mustSh(t, "signet users show kyoko"); !strings.Contains(out, "enabled") {
		t.Errorf("the account that was disabled:\n%s", out)
	}
	in.issuer = in.serve(t, in.data, in.addr, base)
	in.login(t) // with the password of before
	for what, token := range map[string]string{
		"a session that was begun since": since["refresh"], "a refresh token of a key that is gone": fresh["refresh"],
		"a refresh since": renewed["refresh"],
	} {
		in.refuses(t, what, "/api/token/refresh/", "refresh", token, "token_not_valid")
	}
	if _, err := refresh(t.Context(), http.DefaultClient, base, ended["refresh"]); err != nil {
		t.Errorf("a session that ended since: %v", err)
	}
	in.play(t, 1) // again
	if state := stateOf(listKeys(t, in.data), leaked); state != keystore.Revoked {
		t.Errorf("the key is %q", state)
	}
	if _, err := login(t.Context(), http.DefaultClient, base, "kyoko", victimsPassword); err == nil {
		t.Error("the account is not disabled")
	}
	in.allPlayed(t)
}

// another is one more session of the victim.
func (in *incident) another(t *testing.T) map[string]string {
	t.Helper()
	pair, err := login(t.Context(), http.DefaultClient, "http://"+in.addr, "kyoko", victimsPassword)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
