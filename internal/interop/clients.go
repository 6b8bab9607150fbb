package main

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// client is one example and what it is expected to do where that is not what all do.
type client struct {
	name string // its directory in examples/
	// needs are the programs that its README takes for granted, and packages that
	// have them.
	needs map[string]string
	// inModule says that it is built in the checkout, as a package of this module.
	inModule bool
	// reload tells it of changed keys, where it does not look by itself.
	reload string
	// newKeyWithin is how long it may refuse a key that signs without having been
	// published before.
	newKeyWithin time.Duration
	// forgetsWithin is how long it may accept a revoked key without having seen a
	// token of another; zero if that is longer than a run.
	forgetsWithin time.Duration
	// kind is its name in the table of docs/leaked-key.md.
	kind    string
	differs map[string]string
}

// common is what every client does unless its row says otherwise.
var common = map[string]string{
	caseNone: "401", caseGood: "200", caseTyp: "200", caseMachine: "200",
	caseExpired: "401", caseAudience: "401", caseRefresh: "401", caseForged: "401, then 200",
	caseRotation: "0 failed", caseRevoked: "200, then 401", caseAlone: "200",
}

var (
	node   = map[string]string{"node": "nodejs", "npm": "npm"}
	python = map[string]string{"python3": "python3-venv"}
	java   = map[string]string{"java": "default-jdk-headless", "mvn": "maven"}
)

var clients = []client{
	{name: "go-verify", needs: map[string]string{"go": "golang"}, inModule: true, kind: "signet/verify", forgetsWithin: jwksMaxAge},
	// PyJWT does not look for an unknown kid within 30 s of its last fetch.
	{name: "django-simplejwt", needs: python, kind: "simplejwt with JWK_URL", newKeyWithin: 30 * time.Second},
	{name: "fastapi-pyjwt", needs: python, kind: "PyJWT", newKeyWithin: 30 * time.Second},
	// Nor does jose.
	{name: "express-jose", needs: node, kind: "jose", newKeyWithin: 30 * time.Second},
	// jwks-rsa keeps each key for 10 minutes, whatever is published.
	{name: "express-jwks-rsa", needs: node, kind: "jwks-rsa", differs: map[string]string{caseRevoked: "200, then 200"}},
	{name: "spring-boot", needs: java, kind: "Spring"},
	{name: "apache-oauth2", needs: map[string]string{"apache2": "apache2 libapache2-mod-oauth2"}, kind: "mod_oauth2"},
	{name: "apache-openidc", needs: map[string]string{"apache2": "apache2 libapache2-mod-auth-openidc", "openssl": "openssl"}, kind: "mod_auth_openidc"},
	// HAProxy reads keys from files, at its start and when it is told to.
	{name: "haproxy", needs: map[string]string{"haproxy": "haproxy"}, kind: "HAProxy", reload: "./reload.sh"},
}

// missing names the packages that this machine lacks.
func (c client) missing() string {
	var packages []string
	for _, program := range slices.Sorted(maps.Keys(c.needs)) {
		if _, err := exec.LookPath(program); err != nil {
			packages = append(packages, c.needs[program])
		}
	}
	return strings.Join(packages, " ")
}

func (c client) expected(column string) string {
	if text, ok := c.differs[column]; ok {
		return text
	}
	switch {
	case column == caseNewKey:
		return within(c.newKeyWithin)
	case column == caseAlone && c.forgetsWithin > 0:
		return "401 " + within(c.forgetsWithin)
	}
	return common[column]
}

// matrix is client by case; a cell that was not expected has a mark.
func matrix(servers []*server) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CLIENT\t"+strings.ToUpper(strings.Join(columns, "\t")))
	for _, s := range servers {
		fmt.Fprint(w, s.name)
		for _, column := range columns {
			mark := ""
			if s.cells[column] != s.expected(column) {
				mark = " (!)"
			}
			fmt.Fprintf(w, "\t%s%s", s.cells[column], mark)
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return b.String()
}

// verdict is an error that names each cell that differs.
func verdict(servers []*server) error {
	var faults []error
	if len(servers) == 0 {
		faults = append(faults, errors.New("no example was run"))
	}
	for _, s := range servers {
		for _, column := range columns {
			if got, want := s.cells[column], s.expected(column); got != want {
				faults = append(faults, fmt.Errorf("%s, %s: got %q, expected %q", s.name, column, got, want))
			}
		}
	}
	return errors.Join(faults...)
}
