package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const formType = "application/x-www-form-urlencoded"

// Every wrong use gets an error that says what to change, and the server goes on.
func TestWrongUse(t *testing.T) {
	s := start(t, settings{})
	multi := "multipart/form-data; boundary=xx"
	part := func(head, text string) string {
		return "--xx\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + text + "\r\n"
	}
	required := `{"username":["This field is required."],"password":["This field is required."]}`
	for name, c := range map[string]struct {
		contentType, body string
		status            int
		says              string
	}{
		"no body, no type":      {"", "", 400, required},
		"no body, other type":   {"text/plain", "", 400, required},
		"no type":               {"", "x", 415, `{"detail":"Unsupported media type \"\" in request."}`},
		"xml":                   {"application/xml", "<a/>", 415, `{"detail":"Unsupported media type \"application/xml\" in request."}`},
		"odd charset":           {"application/json; charset=utf-16", "{}", 415, `{"detail":"Unsupported charset \"utf-16\" in request; send UTF-8."}`},
		"charset":               {"Application/JSON; Charset=UTF-8", "{}", 400, required},
		"broken parameter":      {"application/json; charset", "{}", 400, required},
		"one missing":           {jsonType, `{"username":"a"}`, 400, `{"password":["This field is required."]}`},
		"other case":            {jsonType, `{"Username":"a","PASSWORD":"b"}`, 400, required},
		"white space name":      {jsonType, `{"username":" \t","password":"b"}`, 400, `{"username":["This field may not be blank."]}`},
		"bools":                 {jsonType, `{"username":true,"password":false}`, 400, `{"username":["Not a valid string."],"password":["Not a valid string."]}`},
		"array":                 {jsonType, `[]`, 400, `{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}`},
		"string":                {jsonType, `"a"`, 400, `{"non_field_errors":["Invalid data. Expected a dictionary, but got str."]}`},
		"integer":               {jsonType, ` 1`, 400, `{"non_field_errors":["Invalid data. Expected a dictionary, but got int."]}`},
		"fraction":              {jsonType, `1e2`, 400, `{"non_field_errors":["Invalid data. Expected a dictionary, but got float."]}`},
		"bool":                  {jsonType, `true`, 400, `{"non_field_errors":["Invalid data. Expected a dictionary, but got bool."]}`},
		"null":                  {jsonType, `null`, 400, `{"non_field_errors":["No data provided"]}`},
		"cut JSON":              {jsonType, `{"username":`, 400, `{"detail":"JSON parse error - unexpected end of JSON input (char 11)"}`},
		"two JSONs":             {jsonType, `{}{}`, 400, `{"detail":"JSON parse error - invalid character '{' after top-level value (char 2)"}`},
		"NaN":                   {jsonType, `{"username":NaN}`, 400, `{"detail":"JSON parse error - invalid character 'N' looking for beginning of value (char 12)"}`},
		"only white space":      {jsonType, "  ", 400, `{"detail":"JSON parse error - unexpected end of JSON input (char 1)"}`},
		"deep":                  {jsonType, `{"a":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`, 400, `{"detail":"JSON parse error - nested too deep"}`},
		"very deep":             {jsonType, strings.Repeat(`[`, 60000), 400, `{"detail":"JSON parse error - invalid character '[' exceeded max depth (char 10000)"}`},
		"twice":                 {jsonType, `{"username":"a","username":"b","password":"c"}`, 400, `{"detail":"JSON parse error - a member is named twice"}`},
		"twice, escaped":        {jsonType, `{"username":"a","\u0075sername":"b"}`, 400, `{"detail":"JSON parse error - a member is named twice"}`},
		"not UTF-8":             {jsonType, "{\"username\":\"\xff\"}", 400, `{"detail":"JSON parse error - the body is not UTF-8"}`},
		"UTF-16":                {jsonType, "\xff\xfe{\x00}\x00", 400, `{"detail":"JSON parse error - the body is not UTF-8"}`},
		"half a pair":           {jsonType, `{"username":"\ud800","password":"\udc00\ud800"}`, 400, `{"username":["Surrogate characters are not allowed: U+D800."],"password":["Surrogate characters are not allowed: U+DC00."]}`},
		"NUL":                   {jsonType, `{"username":"a\u0000","password":"\u0000"}`, 400, `{"username":["Null characters are not allowed."],"password":["Null characters are not allowed."]}`},
		"long":                  {jsonType, `{"username":"` + strings.Repeat("a", 256) + `","password":"` + strings.Repeat("b", 1025) + `"}`, 400, `{"username":["Ensure this field has no more than 255 bytes."],"password":["Ensure this field has no more than 1024 bytes."]}`},
		"body too large":        {jsonType, `{"username":"` + strings.Repeat("a", 70<<10) + `"}`, 413, `{"detail":"The body is too large; at most 64 KiB are taken."}`},
		"form too large":        {formType, strings.Repeat("a=b&", 20<<10), 413, `{"detail":"The body is too large; at most 64 KiB are taken."}`},
		"form empty fields":     {formType, "username=&password=", 400, `{"username":["This field may not be blank."],"password":["This field may not be blank."]}`},
		"form twice":            {formType, "username=a&password=b&username=c", 400, `{"detail":"Form parse error - a field is named twice"}`},
		"form bad escape":       {formType, "username=%zz", 400, `{"detail":"Form parse error - a % must be followed by two hexadecimal digits; write %25 for the sign itself"}`},
		"form not UTF-8":        {formType, "username=%ff", 400, `{"detail":"Form parse error - a field is not UTF-8"}`},
		"JSON sent as form":     {formType, `{"username":"a","password":"b"}`, 400, required},
		"multipart no boundary": {"multipart/form-data", "x", 400, `{"detail":"Multipart form parse error - Content-Type names no boundary"}`},
		"multipart cut":         {multi, part(`name="username"`, "a"), 400, `{"detail":"Multipart form parse error - a part or the closing boundary is missing or broken"}`},
		"multipart garbage":     {multi, "garbage", 400, `{"detail":"Multipart form parse error - a part or the closing boundary is missing or broken"}`},
		"multipart twice":       {multi, part(`name="username"`, "a") + part(`name="username"`, "b") + "--xx--", 400, `{"detail":"Multipart form parse error - a field is named twice"}`},
		"multipart file":        {multi, part(`name="username"; filename="f"`, "a") + part(`name="password"`, "b") + "--xx--", 400, `{"username":["Not a valid string."]}`},
		"wrong password":        {jsonType, `{"username":"alice","password":"correct horse battery staple"}`, 401, `{"detail":"No active account found with the given credentials"}`},
		"unheard of":            {jsonType, `{"username":"nobody","password":"x"}`, 401, `{"detail":"No active account found with the given credentials"}`},
		"not a name":            {jsonType, `{"username":"a b c","password":"x"}`, 401, `{"detail":"No active account found with the given credentials"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s.do(t, "POST", "/api/token/", c.contentType, strings.NewReader(c.body)).says(t, c.status, c.says)
			s.login(t)
		})
	}
}

// What is unusual and yet right.
func TestUnusualLogins(t *testing.T) {
	s := start(t, settings{})
	s.AddUser(t, "007", "1e2")
	s.AddUser(t, "7", "1e2")
	s.AddUser(t, "semi", "a;b%c")
	s.AddUser(t, "émile", "\U0001F511\u2028<&>")
	for name, c := range map[string]struct{ contentType, body string }{
		"numbers":        {jsonType, `{"username":7,"password":1e2}`},
		"trimmed name":   {jsonType, `{"username":"\n 007\t","password":"1e2"}`},
		"more members":   {jsonType, `{"username":"7","password":"1e2","remember":[{"me":null}]}`},
		"bare semicolon": {formType, "&username=semi&&password=a;b%25c"},
		"pair":           {jsonType, `{"username":"\u00c9mile","password":"\ud83d\udd11\u2028<&>"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s.do(t, "POST", "/api/token/", c.contentType, strings.NewReader(c.body)).is(t, http.StatusOK)
		})
	}
}

func TestAccept(t *testing.T) {
	s := start(t, settings{})
	for accept, status := range map[string]int{
		"": 200, "*/*": 200, "application/*": 200, "Application/JSON; indent=4": 200,
		"text/html, application/xhtml+xml, */*;q=0.8": 200, "text/html": 406, "application/json;q=0": 406, "garbage": 406,
	} {
		got := s.do(t, "POST", "/api/token/", jsonType, strings.NewReader(credentials), "Accept", accept)
		if got.StatusCode != status {
			t.Errorf("Accept %q: %d %s, want %d", accept, got.StatusCode, got.body, status)
		}
	}
}

func TestContentEncoding(t *testing.T) {
	s := start(t, settings{})
	s.do(t, "POST", "/api/token/", jsonType, strings.NewReader("\x1f\x8b"), "Content-Encoding", "gzip").
		says(t, 415, `{"detail":"Unsupported content encoding \"gzip\" in request; send the body as it is."}`)
}

// raw sends bytes as they are and returns the connection with the first answer.
func (s *server) raw(t *testing.T, text string) (net.Conn, answer) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, read(t, resp)
}

const postHead = "POST /api/token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

func TestSlowBody(t *testing.T) {
	s := start(t, settings{http: func(h *http.Server) { h.ReadTimeout = 100 * time.Millisecond }})
	_, got := s.raw(t, postHead+"Content-Length: 100\r\n\r\n{\"username\":")
	got.says(t, 408, `{"detail":"The body did not arrive in time; send it again."}`)
	if !got.Close {
		t.Error("the connection stays open, in the middle of a request")
	}
	s.login(t)
}

func TestCutAndBrokenBodies(t *testing.T) {
	s := start(t, settings{})
	want := `{"detail":"The body ended early or its transfer coding is broken; send it again."}`
	_, got := s.raw(t, postHead+"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
	got.says(t, 400, want)
	if !got.Close {
		t.Error("the connection stays open, in the middle of a request")
	}
	s.login(t)
}

func TestEndlessBody(t *testing.T) {
	s := start(t, settings{})
	endless := io.MultiReader(strings.NewReader(`{"username":"`), endlessReader{})
	req, _ := http.NewRequest("POST", s.URL+"/api/token/", endless)
	req.Header.Set("Content-Type", jsonType)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil { // the client may also see the connection end before the answer
		read(t, resp).says(t, 413, `{"detail":"The body is too large; at most 64 KiB are taken."}`)
	}
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 70<<10, strings.Repeat("a", 70<<10))
	_, got := s.raw(t, postHead+"Transfer-Encoding: chunked\r\n\r\n"+chunk)
	got.says(t, 413, `{"detail":"The body is too large; at most 64 KiB are taken."}`)
	if !got.Close {
		t.Error("the connection stays open, in the middle of a request")
	}
	s.login(t)
}

type endlessReader struct{}

func (endlessReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'a'
	}
	return len(b), nil
}

func TestHugeHeader(t *testing.T) {
	s := start(t, settings{})
	_, got := s.raw(t, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Big: "+strings.Repeat("a", 40<<10)+"\r\n\r\n")
	got.is(t, http.StatusRequestHeaderFieldsTooLarge)
	if got.body == "" {
		t.Error("no body")
	}
	s.login(t)
}
