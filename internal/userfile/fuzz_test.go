package userfile_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"signet/internal/userfile"
)

// fuzzFile reads arbitrary bytes: it ends, gives only what can be sent on, and gives no
// more rows than there are bytes.
func fuzzFile(f *testing.F, format string, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := userfile.Open(bytes.NewReader(data), format, "auth.user")
		if err != nil {
			return
		}
		names := map[string]bool{}
		for n := 0; ; n++ {
			row, err := r.Next()
			if refused := (*userfile.RowError)(nil); errors.As(err, &refused) {
				if refused.Line < 1 || refused.Reason == "" {
					t.Fatalf("refused with %+v", refused)
				}
				continue
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				return
			}
			if n > len(data) || row.Line < 1 || row.Line > 1+bytes.Count(data, []byte("\n")) {
				t.Fatalf("row %d, line %d of %d bytes", n, row.Line, len(data))
			}
			if names[row.Name] || !utf8.ValidString(row.Name) {
				t.Fatalf("the name %q", row.Name)
			}
			names[row.Name] = true
			checkWrites(t, row.Account)
		}
	})
}

// checkWrites: what was read can be written as a line.
func checkWrites(t *testing.T, a userfile.Account) {
	t.Helper()
	if _, err := a.Entry(); err != nil {
		return
	}
	var line bytes.Buffer
	if err := userfile.NewWriter(&line).Write(a); err != nil || bytes.Count(line.Bytes(), []byte("\n")) != 1 {
		t.Fatalf("write %+v: %v", a, err)
	}
}

func FuzzDjango(f *testing.F) {
	fuzzFile(f, userfile.Django, byKey, "[]", `[{"model":"auth.user","pk":1,"fields":{"username":"a"}}]`, `[{"model":"auth.user"`, "[1,,]", "\ufeff[")
}

func FuzzCSV(f *testing.F) {
	fuzzFile(f, userfile.CSV, "username,claims\na,\"{\"\"b\"\":1}\"\n", "username\n\"a\nb\"\"\"\nc", "username,created\na,2019-03-04 05:06:07+00\r\n", "a,b\n")
}

func FuzzLines(f *testing.F) {
	fuzzFile(f, userfile.Lines, `{"name":"a","profile":{"claims":{"b":1}}}`+"\n{}\n", `{"name":"a","created":"2019-03-04T05:06:07Z"}`, strings.Repeat("{", 50))
}
