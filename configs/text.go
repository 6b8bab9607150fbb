package configs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const day = 24 * time.Hour

// maxDays keeps a number of days within a time.Duration.
const maxDays = uint64((1<<63 - 1) / day)

// ParseDuration reads a duration in the text form of every setting: a Go duration
// that may begin with days, such as 30d, 1d12h or 5m.
func ParseDuration(s string) (time.Duration, error) {
	wrong := fmt.Errorf("%s is not a duration; write 5m, 24h or 30d", quote(s))
	digits, rest, ok := strings.Cut(s, "d")
	if !ok {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, wrong
		}
		return d, nil
	}
	days, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || days > maxDays {
		return 0, wrong
	}
	if rest == "" {
		return time.Duration(days) * day, nil
	}
	tail, err := time.ParseDuration(rest)
	if err != nil || strings.ContainsAny(rest[:1], "+-") {
		return 0, wrong
	}
	if sum := time.Duration(days)*day + tail; sum >= 0 {
		return sum, nil
	}
	return 0, wrong
}

// formatDuration is the shortest text that ParseDuration reads back. Days begin
// at two: a lifetime of 24h or 36h is thought of in hours.
func formatDuration(d time.Duration) string {
	if d < 2*day {
		return trimDuration(d)
	}
	days, rest := int64(d/day), d%day
	if rest == 0 {
		return fmt.Sprintf("%dd", days)
	}
	return fmt.Sprintf("%dd%s", days, trimDuration(rest))
}

// trimDuration drops the zero units that time.Duration prints: 24h0m0s is 24h.
func trimDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// units are the suffixes of a size, largest first.
var units = []struct {
	suffix string
	bytes  int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// parseSize reads a number of bytes: 19MiB, 64KiB, 65536.
func parseSize(s string) (int64, error) {
	number, unit := s, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.suffix); ok {
			number, unit = n, u.bytes
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<63-1)/unit {
		return 0, fmt.Errorf("%s is not a size; write 19MiB, 64KiB or a number of bytes", quote(s))
	}
	return n * unit, nil
}

// formatSize prints the largest unit that divides n.
func formatSize(n int64) string {
	for _, u := range units {
		if n != 0 && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.suffix)
		}
	}
	return strconv.FormatInt(n, 10)
}

func parseInt(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%s is too large a number", quote(s))
	case err != nil:
		return 0, fmt.Errorf("%s is not a whole number; write it in digits alone", quote(s))
	}
	return int(n), nil
}

func formatInt(n int) string { return strconv.Itoa(n) }

func parseBool(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%s is neither true nor false; write one of the two", quote(s))
}

func formatBool(b bool) string { return strconv.FormatBool(b) }

// parseList splits at commas. An empty text is an empty list; an empty entry
// stays, for Check to refuse.
func parseList(s string) ([]string, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	entries := strings.Split(s, ",")
	for i := range entries {
		entries[i] = strings.TrimSpace(entries[i])
	}
	return entries, nil
}

func formatList(entries []string) string { return strings.Join(entries, ",") }

// parseMapping reads name=value entries with commas between them. A name may hold an
// equals sign, a value not. An empty text is an empty mapping.
func parseMapping(s string) (map[string]string, error) {
	entries, err := parseList(s)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	m := make(map[string]string, len(entries))
	for _, e := range entries {
		at := strings.LastIndexByte(e, '=')
		if at < 0 {
			return nil, fmt.Errorf("%s is not name=value; write orders=at+jwt", quote(e))
		}
		name, value := strings.TrimSpace(e[:at]), strings.TrimSpace(e[at+1:])
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("%s stands in it twice; remove one", quote(name))
		}
		m[name] = value
	}
	return m, nil
}

func formatMapping(m map[string]string) string {
	entries := make([]string, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		entries = append(entries, name+"="+m[name])
	}
	return formatList(entries)
}

// parseLists reads name=value value entries with commas between them.
func parseLists(s string) (map[string][]string, error) {
	entries, err := parseMapping(s)
	if err != nil || entries == nil {
		return nil, err
	}
	m := make(map[string][]string, len(entries))
	for name, values := range entries {
		m[name] = slices.Collect(strings.FieldsSeq(values)) // nil if there are none
	}
	return m, nil
}

func formatLists(m map[string][]string) string {
	entries := make(map[string]string, len(m))
	for name, values := range m {
		entries[name] = strings.Join(values, " ")
	}
	return formatMapping(entries)
}

// quote shows what was written, up to the length of a line.
func quote(s string) string {
	const most = 60
	if len(s) <= most {
		return strconv.Quote(s)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "…"
}

// nearest returns the candidate that word was probably meant to be, or "".
func nearest(word string, candidates []string) string {
	const longest = 64 // no key is as long: do not measure a blob
	if len(word) > longest {
		return ""
	}
	word = strings.ReplaceAll(word, "-", "_")
	best, least := "", 1+len(word)/6
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d <= least && (best == "" || d < least) {
			best, least = c, d
		}
	}
	if least >= len(word) { // every letter would change
		return ""
	}
	return best
}

// distance is the number of bytes to insert, delete, replace or swap with their
// neighbour to turn a into b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

// repeated returns the first entry that stands twice, if any.
func repeated(entries []string) (string, bool) {
	for i, e := range entries {
		if slices.Contains(entries[:i], e) {
			return e, true
		}
	}
	return "", false
}
