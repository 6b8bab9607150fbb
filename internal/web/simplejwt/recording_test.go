package simplejwt

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// recorded is one answer of djangorestframework-simplejwt.
type recorded struct {
	name   string
	status int
	header map[string]string
	body   string
}

var (
	statusLine = regexp.MustCompile(`^(\d{3}) (\{.*\})$`)
	headerPair = regexp.MustCompile(`'([^']+)': '([^']*)'`)
	// notes are lines that the recorder added to an answer.
	notes = regexp.MustCompile(`^(ACCESS|REFRESH|SLIDING|->|Creating token)`)
)

// readRecording returns the cases of a file, in their order.
func readRecording(t *testing.T, path string) []recorded {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases []recorded
	for chunk := range strings.SplitSeq("\n"+string(text), "\n## ") {
		if strings.HasPrefix(strings.TrimSpace(chunk), "####") {
			continue // the title
		}
		cases = append(cases, readCase(t, path, chunk))
	}
	if len(cases) == 0 {
		t.Fatalf("%s: no case", path)
	}
	return cases
}

func readCase(t *testing.T, path, chunk string) recorded {
	t.Helper()
	lines := strings.Split(chunk, "\n")
	match := []string(nil)
	if len(lines) > 1 {
		match = statusLine.FindStringSubmatch(lines[1])
	}
	if match == nil {
		t.Fatalf("%s: %q has no status line", path, lines[0])
	}
	c := recorded{name: lines[0], header: map[string]string{}}
	c.status, _ = strconv.Atoi(match[1])
	for _, pair := range headerPair.FindAllStringSubmatch(match[2], -1) {
		c.header[pair[1]] = pair[2]
	}
	body := lines[2:]
	for i, line := range body {
		if notes.MatchString(line) {
			body = body[:i]
			break
		}
	}
	c.body = strings.TrimSpace(strings.Join(body, "\n"))
	return c
}
