package issuer

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// sameAsJSON holds the payload against what encoding/json makes of the claims.
func sameAsJSON(t *testing.T, c *Claims) {
	t.Helper()
	want, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	got := c.appendPayload([]byte("before "))
	if text, ok := strings.CutPrefix(string(got), "before "); !ok || text != string(want) {
		t.Errorf("payload %s, and encoding/json makes %s", got, want)
	}
	c.Profile = []byte(`"groups":["a"]`)
	if text := string(c.appendPayload(nil)); text != string(want[:len(want)-1])+`,"groups":["a"]}` {
		t.Errorf("with a profile: %s", text)
	}
}

// A claim that is added to the struct and not to the payload is missed here.
func TestEveryFieldIsInThePayload(t *testing.T) {
	full := Claims{
		Audience: Audience{"a", "b"}, UserID: UserID{Text: "7", Number: true}, Actor: &Actor{Subject: "one", Actor: &Actor{Subject: "two"}},
	}
	v := reflect.ValueOf(&full).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(v.Type().Field(i).Name)
		case reflect.Int64:
			f.SetInt(int64(i + 1))
		}
		if v.Type().Field(i).Name != "Profile" && v.Field(i).IsZero() {
			t.Errorf("the test leaves %s empty", v.Type().Field(i).Name)
		}
	}
	sameAsJSON(t, &full)
	for i := range v.NumField() {
		one, some := Claims{}, full
		reflect.ValueOf(&one).Elem().Field(i).Set(v.Field(i))
		reflect.ValueOf(&some).Elem().Field(i).SetZero()
		one.Profile, some.Profile = nil, nil
		sameAsJSON(t, &one)
		sameAsJSON(t, &some)
	}
}

func TestAudienceInThePayload(t *testing.T) {
	for _, audience := range []Audience{nil, {}, {""}, {"a"}, {"a", ""}, {"<a>", "b\u2028", "\xff"}} {
		sameAsJSON(t, &Claims{Audience: audience})
	}
}

func TestEveryCharacterInThePayload(t *testing.T) {
	for c := range 0x2100 {
		sameAsJSON(t, &Claims{Issuer: string(rune(c)), Subject: "a" + string([]byte{byte(c)}) + "b"})
	}
}

// A user_id that says it is a number and is none breaks out of nothing.
func TestNumberThatIsNone(t *testing.T) {
	for _, text := range []string{"", "x", `1,"sub":"root"`, "01", "-1", "1e3"} {
		var back Claims
		payload := (&Claims{Audience: Audience{"a"}, UserID: UserID{Text: text, Number: true}}).appendPayload(nil)
		if err := json.Unmarshal(payload, &back); err != nil || back.UserID != (UserID{Text: text}) || back.Subject != "" {
			t.Errorf("%q: %s, %v", text, payload, err)
		}
	}
}

// FuzzPayloadAgainstJSON: the payload is what encoding/json makes of the claims.
func FuzzPayloadAgainstJSON(f *testing.F) {
	f.Add("https://login.example.test", "MJ6CX3DE4ROHB6R5UPYW3KMXWO", "orders billing", int64(1795323226), "42", "read write", uint8(0xff))
	f.Add("\x00\b\f\n\r\t\x7f\"\\/", "<script>&amp;\u2028\u2029", "\xff\xfe \xed\xa0\x80", int64(-1<<63), "007", "é😀\ufffd", uint8(0))
	f.Fuzz(func(t *testing.T, iss, sub, aud string, at int64, id, scope string, kind uint8) {
		c := &Claims{
			Issuer: iss, Subject: sub, Audience: strings.Split(aud, " "), Expires: at, IssuedAt: at / 2, NotBefore: -at,
			ID: id, Client: sub + iss, Scope: scope, Kind: scope + id, UserID: UserID{Text: id, Number: isNumber(id) && kind&1 != 0},
		}
		if kind&2 != 0 {
			c.Session, c.SessionEnds, c.OrigIssuedAt = aud, at, at+1
		}
		if kind&4 != 0 {
			c.Actor = &Actor{Subject: aud, Actor: &Actor{Subject: scope}}
		}
		sameAsJSON(t, c)
	})
}
