//go:build pkcs11

package pkcs11

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// newRef names a private key (RFC 7512 §2.3).
func newRef(token string, id []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "pkcs11:token=%s;id=", escape(token))
	for _, c := range id {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	b.WriteString(";type=private")
	return b.String()
}

// escape leaves the unreserved characters of RFC 3986 §2.3 alone.
func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

// parseRef takes what newRef makes, and no other URI.
func parseRef(ref string) (token string, id []byte, err error) {
	rest, ok := strings.CutPrefix(ref, "pkcs11:token=")
	label, rest, found := strings.Cut(rest, ";id=")
	text, private := strings.CutSuffix(rest, ";type=private")
	if ok && found && private {
		id, _ = hex.DecodeString(strings.ReplaceAll(text, "%", ""))
		token, err = url.PathUnescape(label)
	}
	if err != nil || len(id) == 0 || newRef(token, id) != ref {
		return "", nil, fmt.Errorf("%q does not name a key in a PKCS #11 token as signet does", ref)
	}
	return token, id, nil
}
