// Package doctor looks at a deployed issuer as an engineer would who is asked why it does
// not work: from outside, over HTTP to its URL, and on its machine.
//
// Start at [Check], which is one line of a report. [Outside] asks the issuer as clients
// do; its checks are in reach.go, certificate.go, keyset.go, caching.go, discovery.go,
// login.go, headers.go and clock.go. [Files], [Disk], [OpenFiles], [Keys] and [Settings]
// look at what is here.
//
// The package changes nothing, sends no secret and makes no request that the issuer
// would answer with one. It follows no redirect, reads no answer without a limit, and
// asks no host but that of the issuer, whatever an answer names. What came over the
// network is printed without control characters.
package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// Result is what came out of a check.
type Result string

// The results, from the best on. Skipped: there was nothing to look at, or no way to.
const (
	OK      Result = "ok"
	Skipped Result = "skipped"
	Warn    Result = "warn"
	Fail    Result = "fail"
)

// Check is one line of a report.
type Check struct {
	Name   string `json:"check"`
	Result Result `json:"result"`
	// Found is what was seen.
	Found string `json:"found"`
	// Advice is what to do about it; a good result has none.
	Advice string `json:"advice,omitempty"`
}

// Skip is a check that was not made, and why.
func Skip(name, why string) Check { return line(name, Skipped, why, "") }

// Failed is a check that whoever asks has made.
func Failed(name, found, advice string) Check { return line(name, Fail, found, advice) }

// Warned is Failed for what works as it is.
func Warned(name, found, advice string) Check { return line(name, Warn, found, advice) }

// Passed is a check that found nothing to do.
func Passed(name, found string) Check { return line(name, OK, found, "") }

func line(name string, result Result, found, advice string) Check {
	return Check{Name: name, Result: result, Found: printable(found), Advice: printable(advice)}
}

// maxLine bounds what is printed of one finding, in runes.
const maxLine = 400

// printable writes what a terminal would obey as escapes, and cuts what is long.
func printable(text string) string {
	var b strings.Builder
	length := 0
	for _, r := range text {
		if length++; length > maxLine {
			return b.String() + "…"
		}
		if strconv.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}

// report gathers the findings of one check.
type report struct {
	name   string
	checks []Check
}

func (r *report) fail(advice, found string, args ...any) {
	r.checks = append(r.checks, Failed(r.name, fmt.Sprintf(found, args...), advice))
}

func (r *report) warn(advice, found string, args ...any) {
	r.checks = append(r.checks, Warned(r.name, fmt.Sprintf(found, args...), advice))
}

// orOK returns the findings or, without any, that all is well.
func (r *report) orOK(found string, args ...any) []Check {
	if len(r.checks) > 0 {
		return r.checks
	}
	return []Check{Passed(r.name, fmt.Sprintf(found, args...))}
}

// orSkip returns the findings or, without any, why there are none.
func (r *report) orSkip(why string) []Check {
	if len(r.checks) > 0 {
		return r.checks
	}
	return []Check{Skip(r.name, why)}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
