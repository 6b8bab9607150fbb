package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"signet/internal/doctor"
	"signet/internal/pgtest"
	"signet/keystore"
)

// doctor examines one of the servers.
func (r *replica) doctor(t *testing.T, env ...string) examination {
	t.Helper()
	return doctorOf(t, append([]string{"SIGNET_STORE=" + r.url, "SIGNET_REPLICA=" + r.name, "SIGNET_DATA=" + r.dir}, env...))
}

// says reports whether a check has this name, this result and these texts.
func (e examination) says(name string, result doctor.Result, found, advice string) bool {
	return slices.ContainsFunc(e.checks, func(c doctor.Check) bool {
		return c.Name == name && c.Result == result && strings.Contains(c.Found, found) && strings.Contains(c.Advice, advice)
	})
}

func (e examination) expect(t *testing.T, name string, result doctor.Result, found, advice string) {
	t.Helper()
	if !e.says(name, result, found, advice) {
		t.Errorf("no %s of %q: %q -> %q in\n%+v", result, name, found, advice, e.checks)
	}
}

// TestDoctorOfReplicas: the checks have different names; the sealing key of a machine is held
// against the database, with its server and without; and where the issuer's URL leads to
// another server, the finding says so, and the one here is asked by itself.
func TestDoctorOfReplicas(t *testing.T) {
	t.Parallel()
	all := replicas(t, pgtest.Start(t).Database(t), 2) // the URL is the first one's
	a, b := all[0], all[1]
	healthy := b.doctor(t, "SIGNET_ISSUER="+a.base)
	names := map[string]bool{}
	for _, c := range healthy.checks {
		if names[c.Name] {
			t.Errorf("two checks are called %q", c.Name)
		}
		names[c.Name] = true
	}
	healthy.expect(t, "this server", doctor.OK, strings.TrimPrefix(b.base, "http://")+" answers, can sign and store", "")
	healthy.expect(t, "database server", doctor.OK, "PostgreSQL ", "")
	healthy.expect(t, "sealing key", doctor.OK, b.dir+"/seal.key opens the private keys in the database", "")

	b.must(t, "", "keys", "reseal") // a lacks the new key
	b.must(t, "", "keys", "rotate")
	old, current := sealingKeyID(t, a.dir), sealingKeyID(t, b.dir)
	var late examination
	err := waitFor(20*time.Second, func() error {
		late = a.doctor(t, "SIGNET_ISSUER="+a.base)
		if !late.says("this server", doctor.Fail, "answers /readyz with 503 Service Unavailable: ", "") {
			return fmt.Errorf("doctor says %+v", late.checks)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	late.expect(t, "this server", doctor.Fail, "it last read the keys from the database ", "the checks of the database server and the sealing key")
	another := func(e examination) {
		t.Helper()
		e.expect(t, "sealing key", doctor.Fail, a.dir+"/seal.key is the sealing key "+old+", and the keys in the database are sealed with "+current,
			"scp HOST:DATA-DIRECTORY/seal.key "+a.dir+"/seal.key && chmod 600 ")
	}
	another(late)
	if text := late.stderr + string(mustJSON(t, late.checks)); strings.Contains(text, secretOf(t, a.dir)) || strings.Contains(text, secretOf(t, b.dir)) {
		t.Error("it prints a sealing key")
	}
	elsewhere := b.doctor(t, "SIGNET_ISSUER="+a.base)
	elsewhere.expect(t, "key set", doctor.Warn, "it lacks 2 and still has 0 (another server on this database may have answered)", "signet doctor on the machine of each server says which it is")
	elsewhere.expect(t, "ready", doctor.Fail, "503", "signet doctor on the machine of each server says which it is")
	elsewhere.expect(t, "this server", doctor.OK, "", "")

	a.kill()
	down := a.doctor(t)
	another(down)
	for _, c := range down.checks {
		if c.Name == "database contents" || c.Name == "this server" {
			t.Errorf("what the sealing key explains is told again: %+v", c)
		}
	}
	copySealKey(t, b.dir, a.dir)
	a.doctor(t).expect(t, "sealing key", doctor.OK, "opens the private keys", "")
}

// TestDoctorOfADatabase that is not reached, and of one without an issuer: different checks.
func TestDoctorOfADatabase(t *testing.T) {
	t.Parallel()
	r := &replica{dir: filepath.Join(t.TempDir(), "data"), name: "r", url: pgtest.Start(t).Database(t)}
	empty := r.doctor(t)
	empty.expect(t, "database contents", doctor.Fail, "there is no issuer in ", "signet serve")
	empty.expect(t, "database server", doctor.Warn, "its schema is 0", "")
	r.url = "postgres://signet@127.0.0.1:1/signet?sslmode=disable"
	unreached := r.doctor(t)
	unreached.expect(t, "database server", doctor.Fail, "it cannot be opened: ", "psql ")
	for _, c := range unreached.checks {
		if c.Name == "database contents" {
			t.Errorf("nobody has seen it: %+v", c)
		}
	}
}

func sealingKeyID(t *testing.T, dir string) string {
	t.Helper()
	key, err := keystore.ReadSealingKey(filepath.Join(dir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	return key.ID()
}

// secretOf is the line of the file that holds the key.
func secretOf(t *testing.T, dir string) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(read(t, filepath.Join(dir, "seal.key")))), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	secret := fields[len(fields)-1]
	if len(secret) < 43 {
		t.Fatalf("no key found in %s", dir)
	}
	return secret[len(secret)-43:]
}
