package passhash

import (
	"slices"
	"testing"
)

// TestBothFormsAreComputed: an account whose hash is that of the first form must
// not answer sooner.
func TestBothFormsAreComputed(t *testing.T) {
	const typed, normal = "e\u0301", "\u00e9"
	tests := []struct {
		password string
		matching []string
		computed []string
		want     bool
	}{
		{typed, nil, []string{typed, normal}, false},
		{typed, []string{typed}, []string{typed, normal}, true},
		{typed, []string{normal}, []string{typed, normal}, true},
		{normal, []string{typed}, []string{normal}, false},
		{normal, []string{normal}, []string{normal}, true},
	}
	for _, test := range tests {
		var computed []string
		h := &Hash{scheme: &scheme{matches: func(_ *Hash, password string) bool {
			computed = append(computed, password)
			return slices.Contains(test.matching, password)
		}}}
		if got := h.Matches(test.password); got != test.want || !slices.Equal(computed, test.computed) {
			t.Errorf("%q against %q: %t after computing %q, want %t after %q", test.password, test.matching, got, computed, test.want, test.computed)
		}
	}
}
