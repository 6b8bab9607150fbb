package pgstore

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

// TestAnsweredTooEarly: a database that answers before a change is on its disk is told of.
func TestAnsweredTooEarly(t *testing.T) {
	url := newDatabase(t)
	for mode, warned := range map[string]bool{"off": true, "on": false, "local": false} {
		var told bytes.Buffer
		text := url + "&synchronous_commit=" + mode
		s, err := Open(t.Context(), text, Options{Logger: slog.New(slog.NewTextHandler(&told, nil))})
		must(t, err)
		defer s.Close()
		if strings.Contains(told.String(), "synchronous_commit=off") != warned || slices.Contains(s.Warnings(), warnCommit) != warned {
			t.Errorf("%s: the log says %q, Warnings %q", mode, told.String(), s.Warnings())
		}
		if found, err := Examine(t.Context(), text); err != nil || found.Commit != mode {
			t.Errorf("a look finds %q, %v, want %q", found.Commit, err, mode)
		}
	}
}
