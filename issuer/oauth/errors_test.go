package oauth_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// described finds what a client may be told, in the source: so that no error is
// forgotten here because no test meets it.
var described = regexp.MustCompile(`(?:refuse\(\w+, |invalid\(|Description: |problem\.New\([\w.]+, )("(?:[^"\\]|\\.)*")`)

// RFC 6749 §5.2: error_description has neither quotes nor backslashes, and is ASCII.
func TestDescriptionsHaveTheAllowedCharacters(t *testing.T) {
	allowed := regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]+$`)
	for dir, least := range map[string]int{".": 15, "../../internal/web/oidc": 8} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		found := 0
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			must(t, err)
			for _, match := range described.FindAllSubmatch(source, -1) {
				text, err := strconv.Unquote(string(match[1]))
				must(t, err)
				found++
				if !allowed.MatchString(text) {
					t.Errorf("%s: %q has characters that error_description may not have", file, text)
				}
			}
		}
		if found < least {
			t.Errorf("%s: only %d descriptions found", dir, found)
		}
	}
}
