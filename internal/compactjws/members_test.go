package compactjws

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// objectOf has n members m0, m1, ..., and those that are added.
func objectOf(n int, added ...string) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"m%d":%d,`, i, i)
	}
	return []byte("{" + strings.TrimSuffix(b.String()+strings.Join(added, ","), ",") + "}")
}

// Duplicates are found on both sides of the number where names begin to be hashed.
func TestDuplicatesAmongMany(t *testing.T) {
	for n := 1; n < 3*few; n++ {
		for _, nested := range []string{"%s", `{"outer":%s}`, `{"outer":[%s]}`} {
			for i := range n {
				twice := fmt.Sprintf(nested, objectOf(n, fmt.Sprintf(`"m%d":0`, i)))
				if _, err := ReadMembers([]byte(twice)); !errors.Is(err, ErrDuplicate) {
					t.Fatalf("%d members, m%d twice: %v, want %v", n, i, err, ErrDuplicate)
				}
			}
			if _, err := ReadMembers(fmt.Appendf(nil, nested, objectOf(n))); err != nil {
				t.Fatalf("%d members: %v", n, err)
			}
		}
	}
}

func TestMembersInTheirOrder(t *testing.T) {
	for _, n := range []int{0, 1, few, few + 1, 5 * few} {
		members, err := ReadMembers(objectOf(n))
		if err != nil || len(members) != n {
			t.Fatalf("%d members, %v; want %d", len(members), err, n)
		}
		for i, m := range members {
			got, ok := members.Get(m.Name)
			if want := fmt.Sprint(i); m.Name != "m"+want || string(m.Value) != want || !ok || string(got) != want {
				t.Errorf("member %d is %s: %s, and Get says %s, %v", i, m.Name, m.Value, got, ok)
			}
		}
		if value, ok := members.Get("M0"); ok || value != nil {
			t.Errorf("Get of another name = %s, %v", value, ok)
		}
	}
}

// FuzzValuesAgainstJSON: Text and Integer take, refuse and yield what encoding/json does.
func FuzzValuesAgainstJSON(f *testing.F) {
	for _, seed := range []string{
		`""`, `"a"`, `"\u0061\n"`, `"é"`, `"\ud800"`, `null`, `true`, `0`, `-0`, `7`, `-7`, `1.0`, `1e3`, `"7"`, `[]`, `{}`,
		`9223372036854775807`, `9223372036854775808`, `-9223372036854775808`, `100000000000000000000000`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		members, err := ReadMembers([]byte(`{"a":` + value + `}`))
		if err != nil || len(members) != 1 {
			return
		}
		v := members[0].Value
		text, wantText := "before", "before"
		if got, want := Text(v, &text), json.Unmarshal(v, &wantText); (got == nil) != (want == nil) || text != wantText {
			t.Errorf("Text(%s) = %q, %v; encoding/json: %q, %v", v, text, got, wantText, want)
		}
		n, wantN := int64(-1), int64(-1)
		if got, want := Integer(v, &n), json.Unmarshal(v, &wantN); (got == nil) != (want == nil) || n != wantN {
			t.Errorf("Integer(%s) = %d, %v; encoding/json: %d, %v", v, n, got, wantN, want)
		}
	})
}
