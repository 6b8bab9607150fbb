// Package house holds the tests that keep the structure of the source: who may
// import whom. docs/reading.md draws the same picture.
package house

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Imports    []string // direct, without those of tests
	Deps       []string // all
}

// rule forbids an import below some packages.
type rule struct {
	of      func(path string) bool // which packages it is for
	forbids func(path string) bool
	deep    bool // also through other packages
	because string
}

var rules = []rule{
	{
		of: public,
		forbids: func(path string) bool {
			return oneOf("go.etcd.io/bbolt", "github.com/gorilla/mux")(path) || below("github.com/jackc")(path)
		},
		deep:    true,
		because: "storage and routing stay behind internal/: a public package can be used without them",
	},
	{
		of: func(path string) bool {
			return below("signet/internal/web")(path) || below("signet/internal/store")(path) ||
				below("signet/internal/control")(path) || below("signet/cmd")(path)
		},
		forbids: below("github.com/lestrrat-go/jwx/v2"),
		because: "a new major version of jwx touches the packages that make and read keys and tokens, and no others",
	},
	{
		of:      oneOf("signet/jwks", "signet/users", "signet/users/passhash", "signet/users/blocklist"),
		forbids: func(path string) bool { return public(path) && !below("signet/users")(path) },
		because: "jwks and users are leaves",
	},
	{
		of:      below("signet/verify"),
		forbids: func(path string) bool { return strings.HasPrefix(path, "signet/") && !verifyMay(path) },
		deep:    true,
		because: "a stranger's service imports verify: it brings no database, no router and no server with it",
	},
	{
		of:      oneOf("signet/verify"),
		forbids: below("google.golang.org/grpc"),
		deep:    true,
		because: "nobody pays for gRPC who does not import grpcverify",
	},
	{
		of:      oneOf("signet/keystore"),
		forbids: func(path string) bool { return public(path) && path != "signet/jwks" },
		because: "keystore joins jwks, and no other public package",
	},
	{
		of:      oneOf("signet/issuer"),
		forbids: func(path string) bool { return public(path) && path != "signet/users" },
		because: "issuer joins users, and declares the Signer and Keys that it needs",
	},
	{
		of: oneOf("signet/issuer/oauth"),
		forbids: func(path string) bool {
			return public(path) && path != "signet/issuer" && path != "signet/users" && path != "signet/jwks"
		},
		because: "grants end in an issuer.Authorization, what signs and stores is behind the issuer; jwks reads the keys of clients",
	},
	{
		of:      oneOf("signet/issuer", "signet/issuer/oauth", "signet/users"),
		forbids: oneOf("net/http"),
		because: "sessions, grants and accounts know nothing of HTTP",
	},
	{
		of: oneOf("signet/configs"),
		forbids: func(path string) bool {
			return strings.HasPrefix(path, "signet/") && path != "signet/internal/web/clientaddr"
		},
		because: "a configuration is text and numbers, and addresses that clientaddr reads; cmd/signet turns it into the policies of the domains",
	},
	{
		of:      func(path string) bool { return public(path) && path != "signet/configs" },
		forbids: oneOf("signet/configs"),
		because: "a library does not know the program's configuration",
	},
	{
		of:      func(path string) bool { return path != "signet/cmd/signet" && !testOnly(path) },
		forbids: below("signet/internal/store"),
		because: "a domain declares its store and never names one; the wiring is in cmd/signet",
	},
	{
		of: func(path string) bool {
			return path != "signet/internal/store/pgstore" && path != "signet/internal/pgcluster"
		},
		forbids: below("github.com/jackc/pgx/v5"),
		because: "what speaks to PostgreSQL is pgstore, and what starts one for tests",
	},
	{
		of:      func(path string) bool { return path != "signet/internal/store/pgstore" },
		forbids: func(path string) bool { return path == "signet/internal/pgtest" },
		because: "it belongs into tests alone, which this list does not hold",
	},
	{
		of:      func(path string) bool { return path != "signet/internal/pgtest" && path != "signet/internal/bench" },
		forbids: oneOf("signet/internal/pgcluster"),
		because: "a PostgreSQL is started for tests and measurements alone",
	},
	{
		of:      below("signet/internal/web"),
		forbids: func(path string) bool { return path == "signet/internal/control" || path == "signet/configs" },
		because: "the public listener reaches no operator's command and no configuration",
	},
	{
		of:      func(string) bool { return true },
		forbids: oneOf("github.com/miekg/pkcs11", "signet/internal/pkcs11"),
		deep:    true,
		because: "PKCS #11 needs cgo, and is in a build of its own: that without the tag is static",
	},
	{
		of:      func(path string) bool { return path != "signet/internal/tracing" && path != "signet/cmd/signet" },
		forbids: telemetry,
		because: "traces are put around the parts of the program, not into them",
	},
	{
		of:      public,
		forbids: func(path string) bool { return telemetry(path) || path == "signet/internal/tracing" },
		deep:    true,
		because: "nobody gets OpenTelemetry with a public package",
	},
	{
		of:      func(path string) bool { return path != "signet/internal/linear" },
		forbids: oneOf("signet/internal/linear", "github.com/anishathalye/porcupine"),
		deep:    true,
		because: "what checks histories is for tests alone",
	},
	{
		of:      below("signet/internal"),
		forbids: below("signet/cmd"),
		because: "the program is on top",
	},
}

// public packages are those a stranger's program may import.
func public(path string) bool {
	return strings.HasPrefix(path, "signet/") && !below("signet/internal")(path) && !below("signet/cmd")(path)
}

// verifyMay are the packages of this module that verify is made of.
func verifyMay(path string) bool {
	return below("signet/verify")(path) || path == "signet/jwks" || path == "signet/internal/compactjws"
}

// testOnly packages exist for the tests of others, for stores, and for benchmarks.
func testOnly(path string) bool {
	return path == "signet/internal/web/webtest" || path == "signet/internal/bench" || below("signet/internal/store")(path)
}

func below(prefix string) func(string) bool {
	return func(path string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }
}

// telemetry are the packages of OpenTelemetry, whose modules have names of their own.
func telemetry(path string) bool { return strings.HasPrefix(path, "go.opentelemetry.io/") }

func oneOf(paths ...string) func(string) bool {
	return func(path string) bool { return slices.Contains(paths, path) }
}

func TestImportsPointDownward(t *testing.T) {
	packages := list(t)
	if len(packages) < 10 {
		t.Fatalf("only %d packages found", len(packages))
	}
	for i, r := range rules {
		if !slices.ContainsFunc(packages, func(p pkg) bool { return r.of(p.ImportPath) }) {
			t.Errorf("rule %d is for no package: %s", i, r.because)
		}
		for _, p := range packages {
			if !r.of(p.ImportPath) {
				continue
			}
			imports := p.Imports
			if r.deep {
				imports = p.Deps
			}
			for _, path := range imports {
				if path != p.ImportPath && r.forbids(path) {
					t.Errorf("%s imports %s: %s", p.ImportPath, path, r.because)
				}
			}
		}
	}
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps=false", "-json=ImportPath,Imports,Deps", "signet/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
