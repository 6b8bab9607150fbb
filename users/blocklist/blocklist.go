// Package blocklist knows the passwords that attackers try first.
//
// [Contains] is all there is. The list is that of Django 5.2 (collected by Royce
// Williams from leaked passwords; LICENSE.django holds for it), without entries below
// 8 characters, the least length that a new password can be allowed to have. It
// refuses nothing by parts: a long password may contain a common one.
package blocklist

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"strings"
	"sync"
)

//go:embed common.txt.gz
var compressed []byte

// entries are read at the first new password, and kept.
var entries = sync.OnceValue(func() map[string]struct{} {
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		panic("blocklist: " + err.Error())
	}
	text, err := io.ReadAll(r)
	if err != nil {
		panic("blocklist: " + err.Error())
	}
	list := map[string]struct{}{}
	for entry := range strings.Lines(string(text)) {
		list[strings.TrimSuffix(entry, "\n")] = struct{}{}
	}
	return list
})

// Contains reports whether a password, in lower case, is in the list.
func Contains(password string) bool {
	_, ok := entries()[password]
	return ok
}
