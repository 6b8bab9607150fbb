package transfer_test

import (
	"reflect"
	"testing"
	"time"

	"signet/internal/store/transfer"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

func digestOf(t *testing.T, records ...any) string {
	t.Helper()
	var d transfer.Digest
	for _, r := range records {
		if err := d.Add(transfer.Users, r); err != nil {
			t.Fatal(err)
		}
	}
	return d.String()
}

// TestDigestSeesEveryField changes each field of each record, those of a later Signet too.
func TestDigestSeesEveryField(t *testing.T) {
	fields := 0
	for _, record := range []any{
		users.User{}, issuer.Session{}, oauth.Client{Secrets: []oauth.Secret{{}}}, transfer.Assertion{},
		transfer.Single{Ring: keystore.Ring{Keys: []keystore.Key{{}}}, OtherMarks: []transfer.ReplicaMark{{}}},
	} {
		base := digestOf(t, record)
		changed := reflect.New(reflect.TypeOf(record)).Elem()
		changed.Set(reflect.ValueOf(record))
		eachField(t, reflect.TypeOf(record).String(), changed, func(path string) {
			fields++
			if digestOf(t, changed.Interface()) == base {
				t.Errorf("the digest does not see %s", path)
			}
		})
	}
	if fields < 60 {
		t.Errorf("only %d fields were changed", fields)
	}
}

// eachField gives each field another value, one at a time.
func eachField(t *testing.T, path string, v reflect.Value, look func(path string)) {
	before := reflect.New(v.Type()).Elem()
	before.Set(v)
	defer func() { v.Set(before) }()
	switch other := v.Addr().Interface().(type) {
	case *time.Time:
		*other = other.Add(time.Millisecond)
		look(path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			eachField(t, path+"."+v.Type().Field(i).Name, v.Field(i), look)
		}
		return
	case reflect.String:
		v.SetString("other")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Array:
		v.Index(v.Len() - 1).SetUint(1)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("argon2id"), reflect.ValueOf(1))
	case reflect.Slice:
		if v.Len() > 0 && v.Index(0).Kind() == reflect.Struct {
			copied := reflect.MakeSlice(v.Type(), 1, 1)
			copied.Index(0).Set(v.Index(0))
			v.Set(copied)
			eachField(t, path+"[0]", v.Index(0), look)
			return
		}
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	default:
		t.Fatalf("%s is a %s: how is it changed?", path, v.Kind())
	}
	look(path)
}

// TestDigestOfASet: the order does not count, each record does.
func TestDigestOfASet(t *testing.T) {
	a, b := users.User{Name: "a"}, users.User{Name: "b"}
	if digestOf(t, a, b) != digestOf(t, b, a) {
		t.Error("the order counts")
	}
	for name, other := range map[string]string{"none": digestOf(t), "one": digestOf(t, a), "one twice": digestOf(t, a, a), "one more": digestOf(t, a, b, b)} {
		if other == digestOf(t, a, b) {
			t.Errorf("%s is as good as both", name)
		}
	}
	if digestOf(t, users.User{Profile: users.Profile{Groups: []string{}}}) != digestOf(t, users.User{}) {
		t.Error("an empty list is another than none")
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	if digestOf(t, issuer.Session{Ends: at}) != digestOf(t, issuer.Session{Ends: at.In(time.FixedZone("", 3600))}) {
		t.Error("an instant is another one in another zone")
	}
}
