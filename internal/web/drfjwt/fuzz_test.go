package drfjwt

import (
	"encoding/json"
	"fmt"
	"testing"

	"signet/internal/web/webtest"
)

// FuzzBody: whatever is sent, it is not the server's fault, and the answer is JSON.
func FuzzBody(f *testing.F) {
	e := newEnv(f, nil)
	good := fmt.Sprintf(`{"username":%q,"password":%q}`, webtest.Alice, webtest.Password)
	token := e.obtain(f, webtest.Alice, webtest.Password).token(f)
	for _, seed := range [][2]string{
		{jsonType, good}, {jsonType, `{"token":"` + token + `"}`}, {jsonType, `{"token":["` + token + `"]}`},
		{jsonType, `{"token":"` + e.Resign(f, token, map[string]any{"orig_iat": nil}) + `"}`},
		{jsonType, `{"username":"\ud83d\udd11","password":"\ud800\"\\"}`}, {jsonType, `{"username":1e9,"password":[{}]}`},
		{"application/x-www-form-urlencoded", "username=a&password=%00;b+"},
		{"application/x-www-form-urlencoded", "token=" + token},
		{"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\na\r\n--x--"},
		{"text/plain", "x"}, {"", ""}, {"application/json; charset=\"", "{}"},
	} {
		f.Add(seed[0], []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		for _, path := range append(takesToken, "/api-token-auth/") {
			got := route(e.router, path, contentType, string(body))
			if got.Code >= 500 || !json.Valid(got.Body.Bytes()) {
				t.Fatalf("%s: %d %s", path, got.Code, got.Body)
			}
		}
	})
}
