package drfjwt

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// recorded is one answer of django-rest-framework-jwt.
type recorded struct {
	name   string
	status int
	header map[string]string
	body   string
}

var (
	// aCase is a name, a status, headers and a body of one line; what the recorder
	// noted below it is left out.
	aCase      = regexp.MustCompile(`(?m)^## (.+)\n(\d{3}) (\{.*\})\n(.*)$`)
	headerPair = regexp.MustCompile(`'([^']+)': '([^']*)'`)
)

// readRecording returns the cases of a file, in their order.
func readRecording(t *testing.T, path string) []recorded {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases []recorded
	for _, match := range aCase.FindAllStringSubmatch(string(text), -1) {
		c := recorded{name: match[1], header: map[string]string{}, body: match[4]}
		c.status, _ = strconv.Atoi(match[2])
		for _, pair := range headerPair.FindAllStringSubmatch(match[3], -1) {
			c.header[pair[1]] = pair[2]
		}
		cases = append(cases, c)
	}
	if named := strings.Count("\n"+string(text), "\n## "); len(cases) == 0 || len(cases) != named {
		t.Fatalf("%s: %d of %d cases were understood", path, len(cases), named)
	}
	return cases
}
