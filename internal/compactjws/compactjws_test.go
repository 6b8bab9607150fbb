package compactjws

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

const limit = 4096

const goodHeader = `{"alg":"ES256","kid":"one","typ":"JWT"}`

// b64 is base64url without padding (RFC 7515 §2).
func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// token is a well-formed token with the given header text.
func token(header string) string {
	return b64(header) + "." + b64(`{"sub":"kyoko"}`) + "." + b64("signature")
}

func TestParseReadsWhatSealWrites(t *testing.T) {
	header := Header{Alg: "ES256", KID: "one", Typ: "at+jwt"}
	payload, signature := []byte(`{"sub":"kyoko"}`), []byte{0, 1, 2, 254, 255}
	input := SigningInput(header.Prefix(), payload, len(signature))
	covered := string(input)
	text := Seal(input, signature)
	got, err := Parse(text, len(text))
	want := &Token{Header: header, Payload: payload, Signature: signature, SigningInput: []byte(covered)}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse(%s) = %+v, %v; want %+v", text, got, err, want)
	}
	if !strings.HasPrefix(text, covered+".") {
		t.Errorf("the signature covers %s of %s", covered, text)
	}
}

func TestPrefixNamesOnlyWhatIsSet(t *testing.T) {
	for want, header := range map[string]Header{
		`{"alg":"ES256","kid":"one","typ":"JWT"}`: {Alg: "ES256", KID: "one", Typ: "JWT"},
		`{"alg":"ES256","kid":"one"}`:             {Alg: "ES256", KID: "one"},
		`{"alg":""}`:                              {},
	} {
		if got := string(header.Prefix()); got != b64(want)+"." {
			t.Errorf("Prefix = %s, want the encoding of %s and a dot", got, want)
		}
	}
}

// SigningInput leaves room: sealing a token copies nothing twice.
func TestSealNeedsNoMoreRoom(t *testing.T) {
	prefix, payload, signature := Header{Alg: "ES256"}.Prefix(), make([]byte, 300), make([]byte, 64)
	allocs := testing.AllocsPerRun(100, func() { Seal(SigningInput(prefix, payload, len(signature)), signature) })
	if allocs > 2 {
		t.Errorf("%v allocations, want one for the buffer and one for the text", allocs)
	}
}

func TestHeaderMembersMayBeAbsentOrReordered(t *testing.T) {
	for text, want := range map[string]Header{
		`{}`:                                     {},
		`{"alg":"ES256"}`:                        {Alg: "ES256"},
		` {"typ":"JWT", "alg" : "none"}` + "\n":  {Alg: "none", Typ: "JWT"},
		`{"kid":"../../dev/null","alg":"HS256"}`: {Alg: "HS256", KID: "../../dev/null"},
		`{"alg":"\u0045S256"}`:                   {Alg: "ES256"},
		`{"kid":""}`:                             {},
	} {
		got, err := Parse(token(text), limit)
		if err != nil || got.Header != want {
			t.Errorf("Parse of header %s = %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestEmptyPayloadAndSignatureAreParts(t *testing.T) {
	got, err := Parse(b64(goodHeader)+"..", limit)
	if err != nil || len(got.Payload) != 0 || len(got.Signature) != 0 {
		t.Errorf("Parse = %+v, %v", got, err)
	}
}

func TestMalformedTokens(t *testing.T) {
	good := token(goodHeader)
	parts := strings.Split(good, ".")
	h, p, s := parts[0], parts[1], parts[2]
	deep := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	tests := []struct {
		name, text string
		want       error
	}{
		{"empty", "", ErrMalformed},
		{"one part", h, ErrMalformed},
		{"two parts", h + "." + p, ErrMalformed},
		{"four parts", good + ".", ErrMalformed},
		{"five parts, as a JWE has", h + "." + p + "." + s + "." + p + "." + s, ErrMalformed},
		{"only dots", "..", ErrMalformed},
		{"empty header", "." + p + "." + s, ErrMalformed},
		{"one byte too long", good + strings.Repeat("A", limit+1-len(good)), ErrTooLong},

		{"padded header", h + "=." + p + "." + s, ErrMalformed},
		{"padded payload", h + "." + b64("a") + "==." + s, ErrMalformed},
		{"padded signature", h + "." + p + "." + b64("a") + "==", ErrMalformed},
		{"stray bits in the payload", h + "." + "YR" + "." + s, ErrMalformed}, // "YQ" is "a"
		{"stray bits in the signature", h + "." + p + "." + "YWJ", ErrMalformed},
		{"a lone character", h + "." + p + "." + "Y", ErrMalformed},
		{"newline at the end", good + "\n", ErrMalformed},
		{"newline in the header", h[:4] + "\n" + h[4:] + "." + p + "." + s, ErrMalformed},
		{"newline in the payload", h + "." + p[:4] + "\n" + p[4:] + "." + s, ErrMalformed},
		{"carriage return in the signature", h + "." + p + "." + s[:4] + "\r" + s[4:], ErrMalformed},
		{"leading space", " " + good, ErrMalformed},
		{"trailing space", good + " ", ErrMalformed},
		{"base64 of the other alphabet", h + "." + p + ".+/+/", ErrMalformed},
		{"NUL", h + "." + p + ".AA\x00A", ErrMalformed},
		{"not ASCII", h + "." + p + ".é", ErrMalformed},
		{"bearer prefix", "Bearer " + good, ErrMalformed},
		{"quoted", `"` + good + `"`, ErrMalformed},

		{"JSON serialisation, flat", `{"payload":"` + p + `","protected":"` + h + `","signature":"` + s + `"}`, ErrMalformed},
		{"JSON serialisation, general", `{"payload":"` + p + `","signatures":[{"protected":"` + h + `","signature":"` + s + `"}]}`, ErrMalformed},
		{"JSON with two dots", `{"payload":"a.b.c"}`, ErrMalformed},

		{"header is not JSON", token(`alg=none`), ErrMalformed},
		{"header is cut off", token(`{"alg":"ES256"`), ErrMalformed},
		{"header is a list", token(`["alg","ES256"]`), ErrMalformed},
		{"header is null", token(`null`), ErrMalformed},
		{"header is a string", token(`"ES256"`), ErrMalformed},
		{"header and more", token(goodHeader + goodHeader), ErrMalformed},
		{"header and a bracket", token(goodHeader + "}"), ErrMalformed},
		{"trailing comma", token(`{"alg":"ES256",}`), ErrMalformed},
		{"comment", token(`{"alg":"ES256"/**/}`), ErrMalformed},
		{"byte order mark", token("\xef\xbb\xbf" + goodHeader), ErrMalformed},
		{"header is UTF-16", token("{\x00}\x00"), ErrMalformed},
		{"invalid UTF-8 in a value", token("{\"kid\":\"\xff\"}"), ErrMalformed},
		{"invalid UTF-8 in a name", token("{\"\xc3\x28\":\"\"}"), ErrMalformed},
		{"overlong UTF-8", token("{\"kid\":\"\xc0\xaf\"}"), ErrMalformed},
		{"surrogate in UTF-8", token("{\"kid\":\"\xed\xa0\x80\"}"), ErrMalformed},

		{"two alg", token(`{"alg":"ES256","alg":"none"}`), ErrDuplicate},
		{"two alg, one escaped", token(`{"alg":"ES256","\u0061lg":"none"}`), ErrDuplicate},
		{"two equal kid", token(`{"kid":"one","kid":"one"}`), ErrDuplicate},
		{"duplicate one level down", token(`{"jwk":{"kty":"EC","kty":"oct"}}`), ErrDuplicate},
		{"duplicate in a list", token(`{"crit":[{"a":1,"a":2}]}`), ErrDuplicate},

		{"jku", token(`{"alg":"ES256","jku":"http://127.0.0.1/keys"}`), ErrHeader},
		{"x5u", token(`{"alg":"ES256","x5u":"http://127.0.0.1/cert"}`), ErrHeader},
		{"x5c", token(`{"alg":"ES256","x5c":["MII"]}`), ErrHeader},
		{"x5t#S256", token(`{"alg":"ES256","x5t#S256":"AA"}`), ErrHeader},
		{"jwk", token(`{"alg":"ES256","jwk":{"kty":"EC"}}`), ErrHeader},
		{"crit", token(`{"alg":"ES256","crit":["exp"],"exp":1}`), ErrHeader},
		{"empty crit", token(`{"alg":"ES256","crit":[]}`), ErrHeader},
		{"b64", token(`{"alg":"ES256","b64":false,"crit":["b64"]}`), ErrHeader},
		{"zip", token(`{"alg":"ES256","zip":"DEF"}`), ErrHeader},
		{"cty", token(`{"alg":"ES256","cty":"JWT"}`), ErrHeader},
		{"enc", token(`{"alg":"dir","enc":"A256GCM"}`), ErrHeader},
		{"p2c", token(`{"alg":"PBES2-HS256+A128KW","p2c":2147483647}`), ErrHeader},
		{"alg in capitals", token(`{"ALG":"ES256"}`), ErrHeader},
		{"unknown", token(`{"alg":"ES256","":""}`), ErrHeader},

		{"alg is null", token(`{"alg":null}`), ErrMalformed},
		{"alg is a number", token(`{"alg":256}`), ErrMalformed},
		{"alg is a list", token(`{"alg":["ES256"]}`), ErrMalformed},
		{"kid is an object", token(`{"kid":{"a":"b"}}`), ErrMalformed},
		{"kid is true", token(`{"kid":true}`), ErrMalformed},
		{"typ is null", token(`{"typ":null}`), ErrMalformed},
		{"typ is a number", token(`{"typ":1}`), ErrMalformed},

		{"lists nested too deep", token(`{"kid":` + deep("[", "", "]", 200) + `}`), ErrMalformed},
		{"objects nested too deep", token(deep(`{"a":`, "1", "}", 200)), ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Parse(tt.text, limit); !errors.Is(err, tt.want) || got != nil {
				t.Errorf("Parse = %+v, %v; want %v", got, err, tt.want)
			}
		})
	}
	if _, err := Parse(good, limit); err != nil {
		t.Errorf("the token that the table changes is refused: %v", err)
	}
}

func TestLimitIsInBytesAndInclusive(t *testing.T) {
	good := token(goodHeader)
	if _, err := Parse(good, len(good)); err != nil {
		t.Errorf("a token as long as the limit: %v", err)
	}
	if _, err := Parse(good, len(good)-1); !errors.Is(err, ErrTooLong) {
		t.Errorf("a token one byte longer: %v, want %v", err, ErrTooLong)
	}
}

// An error goes to a log: it must not carry a stranger's text at full length,
// nor anything of a signature.
func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, text := range []string{
		token(`{"` + long + `":"a"}`), token(`{"` + long + `":1,"` + long + `":2}`),
		token(`{"alg":` + long + `}`), b64(goodHeader) + "." + long + "." + long + "!",
	} {
		if _, err := Parse(text, limit); err == nil || len(err.Error()) > 200 {
			t.Errorf("error of more than 200 bytes, or none: %v", err)
		}
	}
}

// CVE-2025-30204: a text of a million dots was split into a million parts.
func TestMillionDotsCostNothing(t *testing.T) {
	dots := strings.Repeat(".", 1<<20)
	for _, tt := range []struct {
		name  string
		text  string
		limit int
		want  error
	}{
		{"over the limit", dots, limit, ErrTooLong},
		{"without a limit worth the name", dots, 1 << 30, ErrMalformed},
		{"behind a good header", b64(goodHeader) + dots, 1 << 30, ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			bytes := allocated(func() { _, err = Parse(tt.text, tt.limit) })
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if bytes > 100<<10 {
				t.Errorf("%d bytes allocated", bytes)
			}
		})
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func FuzzParse(f *testing.F) {
	for _, header := range []string{
		goodHeader, `{}`, `{"alg":"none"}`, `{"alg":"ES256","alg":"none"}`, `{"jwk":{}}`, `{"alg":1}`, "{\"kid\":\"\xff\"}",
	} {
		f.Add(token(header))
	}
	f.Add("..")
	f.Add(b64(goodHeader) + "..")
	f.Add(b64(goodHeader) + ".YR.YQ==")
	f.Add(token(goodHeader) + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(text, limit)
		if err != nil {
			expectKnown(t, err)
			return
		}
		if again := Seal(bytes.Clone(got.SigningInput), got.Signature); again != text {
			t.Errorf("%q is another text of %q", text, again)
		}
		payload := SigningInput(got.SigningInput[:bytes.IndexByte(got.SigningInput, '.')+1], got.Payload, 0)
		if !bytes.Equal(payload, got.SigningInput) {
			t.Errorf("payload %q is not what is signed: %q", got.Payload, got.SigningInput)
		}
	})
}

func expectKnown(t *testing.T, err error) {
	t.Helper()
	for _, known := range []error{ErrTooLong, ErrMalformed, ErrHeader, ErrDuplicate} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Errorf("an error without a name: %v", err)
}

func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, goodHeader, `{"a":{"b":[1,2,{"c":null}]}}`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":1}}`, `{"a":1,"\u0061":2}`,
		`[]`, `null`, `{"a":1e400}`, `{"a":01}`, `{"a":1,}`, `{"a" 1}`, `{"a":1}{}`, `{"\ud800":1,"\udfff":2}`, "{\"\xff\":1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := Object(data)
		if err != nil {
			expectKnown(t, err)
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(members, want) {
			t.Errorf("Object(%q) = %q, encoding/json reads %q, %v", data, members, want, err)
		}
		if pairs := countPairs(t, data); pairs != countMembers(t, data) {
			t.Errorf("%q has %d members, and names %d", data, countMembers(t, data), pairs)
		}
	})
}

// countPairs counts the names of all objects in the text, at any depth: in a
// JSON text every name, and nothing else outside of a string, is followed by a colon.
func countPairs(t *testing.T, data []byte) int {
	t.Helper()
	pairs, inString, escaped := 0, false, false
	for _, c := range data {
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case c == ':' && !inString:
			pairs++
		}
	}
	return pairs
}

// countMembers counts what is left of them once a parser has read the text.
func countMembers(t *testing.T, data []byte) int {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // 1e400 is JSON
	var value any
	if err := dec.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return count(value)
}

func count(value any) int {
	n := 0
	switch value := value.(type) {
	case map[string]any:
		n = len(value)
		for _, v := range value {
			n += count(v)
		}
	case []any:
		for _, v := range value {
			n += count(v)
		}
	}
	return n
}
