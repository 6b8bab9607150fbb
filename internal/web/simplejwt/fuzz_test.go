package simplejwt

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"signet/internal/web/webtest"
)

// FuzzBody: whatever is sent, it is not the server's fault, and the answer is JSON.
func FuzzBody(f *testing.F) {
	e := webtest.New(f, nil, nil)
	router := mux.NewRouter()
	(&Handler{Issuer: e.Issuer}).Mount(router)
	tokens := e.Login(f, webtest.Alice, webtest.Password)
	const multi = "multipart/form-data; boundary=x"
	for _, seed := range [][2]string{
		{jsonType, good}, {jsonType, `{"refresh":"` + tokens.Refresh + `","token":"` + tokens.Access + `"}`},
		{jsonType, `{"username":"\ud83d\udd11","password":"\ud800\"\\"}`}, {jsonType, `{"username":1e9,"password":[{}]}`},
		{"application/x-www-form-urlencoded", "username=a&password=%00;b+"},
		{multi, "--x\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\na\r\n--x--"},
		{"text/plain", "x"}, {"", ""}, {"application/json; charset=\"", "{}"},
	} {
		f.Add(seed[0], []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		for _, path := range []string{"/api/token/", "/api/token/refresh/", "/api/token/verify/", "/api/token/blacklist/"} {
			r := httptest.NewRequest("POST", path, strings.NewReader(string(body)))
			r.Header.Set("Content-Type", contentType)
			w := httptest.NewRecorder()
			router.ServeHTTP(w, r)
			if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	})
}
