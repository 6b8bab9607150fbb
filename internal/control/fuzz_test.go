package control

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"signet/internal/store/boltstore"
)

// FuzzOperation sends arbitrary bytes to each operation: it answers or refuses in
// JSON, shows no secret, and leaves the keys alone. A rotation or a revocation that
// can be read is made a dry run.
func FuzzOperation(f *testing.F) {
	order := slices.Sorted(maps.Keys(operations))
	seeds := []string{
		``, `{}`, `null`, `[]`, `{`, `"x"`, `{"name":"kyoko","password":"p"}`, `{"name":"KYOKO"}`, `{"name":1}`,
		`{"after":"k","limit":1}`, `{"limit":-9223372036854775808}`, `{"kid":"none"}`, `{"kid":"none","dry_run":true}`,
		`{"alg":"ES256","in":9223372036854775807}`, `{"alg":"HS256","now":true}`, `{"in":-1}`,
		`{"id":"x"}`, `{"user":"kyoko"}`, `{"all":true}`, `{"id":"x","all":true}`, `{"token":"a.b.c"}`, `{"client_id":"billing"}`,
		`{"client_id":"billing","grants":["client_credentials"],"scopes":["a"],"audiences":["b"],"alg":"ES384"}`, `{"client_id":"billing","only":true}`,
		`{"name":"kyoko","change":{"email":"k@example.test","groups":["a"],"claims":{"plan":"x"}}}`, `{"name":"kyoko","change":{"claims":[1]}}`,
		`{"rows":[{"name":"mori","hash":"pbkdf2_sha256$1000$salt$d5vkDJoMIlsr9SE8A5VTj/vxPtZEXUW1nUO1sxXXr3Y="},{"name":"a b"}]}`,
		`{"rows":[{"name":"kyoko","disabled":true}],"update":true,"update_passwords":true}`, `{"hashes":true}`,
		"{\"name\":\"\xff\"}",
	}
	for i := range order {
		for _, seed := range seeds {
			f.Add(uint8(i), []byte(seed))
		}
	}
	fix := newFixture(f)
	fix.create(f, "kyoko")
	before := fix.ring(f).Version
	h := handler{operator: fix.Operator, log: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, which uint8, request []byte) {
		name := order[int(which)%len(order)]
		request = harmless(t, name, request)
		w := httptest.NewRecorder()
		path := pathPrefix + strings.ReplaceAll(name, " ", "/")
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(request)))
		answer, err := io.ReadAll(w.Result().Body)
		must(t, err)
		var refusal Error
		switch {
		case !json.Valid(answer):
			t.Errorf("%s: the answer is no JSON: %q", name, answer)
		case w.Code == http.StatusOK:
		case w.Code != http.StatusUnprocessableEntity && w.Code != http.StatusBadRequest:
			t.Errorf("%s: status %d", name, w.Code)
		case json.Unmarshal(answer, &refusal) != nil || refusal.Message == "":
			t.Errorf("%s: refused without a word: %q", name, answer)
		case strings.Contains(refusal.Message, boltstore.ErrStorage.Error()):
			t.Errorf("%s: the request reached the storage unchecked: %s", name, refusal.Message)
		}
		if name != ExportUsers.name && bytes.Contains(answer, []byte("$argon2")) {
			t.Errorf("%s: the answer holds a hash: %s", name, answer)
		}
		if after := fix.ring(t).Version; after != before {
			t.Fatalf("%s: the ring went from version %d to %d", name, before, after)
		}
	})
}

// harmless makes a request that would change the keys a dry run.
func harmless(t *testing.T, name string, request []byte) []byte {
	dry := func(in any, set *bool) []byte {
		if decode(request, in) != nil {
			return request
		}
		*set = true
		request, err := json.Marshal(in)
		must(t, err)
		return request
	}
	switch name {
	case RotateKeys.name:
		var in Rotation
		return dry(&in, &in.DryRun)
	case RevokeKey.name:
		var in Revocation
		return dry(&in, &in.DryRun)
	case ImportKey.name:
		var in KeyImport
		return dry(&in, &in.DryRun)
	case ResealKeys.name, ResumeKeys.name:
		var in DryRun
		return dry(&in, &in.DryRun)
	}
	return request
}
