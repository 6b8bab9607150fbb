package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Fault is one thing that is wrong with a configuration.
type Fault struct {
	// Place is where the value was written: "signet.yaml:12",
	// "SIGNET_TOKENS_ACCESS", "--tokens-access", or "default". Empty from Check.
	Place string
	// Key is the setting, "tokens.access", or empty.
	Key string
	// Problem says what is wrong and what to write instead.
	Problem string

	// also is a second setting that has a part in it.
	also string
	// rank orders faults: the line, then the environment, then the flags.
	rank int
}

// String is the fault as one line.
func (f Fault) String() string {
	var parts []string
	for _, p := range []string{f.Place, f.Key, f.Problem} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ": ")
}

// Faults is the error of [Load]: everything that is wrong, in the order of the
// file, then the environment, then the flags.
type Faults struct {
	List []Fault
}

// Error is one fault per line.
func (f *Faults) Error() string {
	lines := make([]string, len(f.List))
	for i, fault := range f.List {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// An origin is where a value was written.
type origin struct {
	place string
	rank  int
}

// Ranks of the origins that have no line.
const (
	rankFile    = 0 // plus the line
	rankEnv     = 1 << 30
	rankFlag    = rankEnv + 1
	rankDefault = rankEnv + 2
)

func (o origin) fault(key, format string, args ...any) Fault {
	return Fault{Place: o.place, Key: key, Problem: fmt.Sprintf(format, args...), rank: o.rank}
}

func sortFaults(list []Fault) {
	slices.SortStableFunc(list, func(a, b Fault) int { return cmp.Compare(a.rank, b.rank) })
}
