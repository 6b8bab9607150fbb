package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signet/internal/pgtest"
)

// TestTokensOverPostgres: tokens are issued and verified beside a replica, by a command on
// the machine of a replica that does not run, and without any server.
func TestTokensOverPostgres(t *testing.T) {
	t.Parallel()
	all := replicas(t, pgtest.Start(t).Database(t), 2)
	all[0].must(t, doorPassword, "users", "add", "kyoko", "--password-stdin")
	config := filepath.Join(t.TempDir(), "signet.yaml")
	if err := os.WriteFile(config, []byte("issuer: "+all[0].base+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var tokens []string
	issue := func(r *replica) {
		t.Helper()
		tokens = append(tokens, strings.TrimSpace(r.must(t, "", "token", "issue", "--user", "kyoko", "--config", config)))
		for i, token := range tokens {
			if out := r.must(t, token, "token", "verify", "--config", config); !strings.HasPrefix(out, "valid   yes: an access token for "+all[0].base+"/api\n") {
				t.Errorf("token %d at %s: %s", i, r.name, out)
			}
		}
	}
	issue(all[0])
	issue(all[1])
	all[1].terminate(t)
	issue(all[1])
	all[0].terminate(t)
	issue(all[0])
	all[0].must(t, "", "sessions", "end", "--all")
	for i, token := range tokens {
		if _, errs, err := all[1].signet(t, token, "token", "verify", "--config", config); err == nil || !strings.Contains(errs, "signet: token verify: its session ") {
			t.Errorf("token %d of a session that was ended: %v, %s", i, err, errs)
		}
	}
}
