package pgstore

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOthersCannotHide: whatever the environment calls its connections, a server is seen;
// in the URL another name is refused.
func TestOthersCannotHide(t *testing.T) {
	url := newDatabase(t)
	migration, err := Open(t.Context(), url, Options{Logger: slog.New(slog.DiscardHandler), Application: "signet-migrate"})
	must(t, err)
	defer migration.Close()
	others := func() []string {
		from, err := migration.Others(t.Context())
		must(t, err)
		return from
	}
	if found := others(); len(found) != 0 {
		t.Errorf("there is nobody else, and %q are found", found)
	}
	t.Setenv("PGAPPNAME", "hidden")
	openTest(t, url)
	if diff := cmp.Diff([]string{"this host"}, others()); diff != "" {
		t.Errorf("others (-want +got):\n%s", diff)
	}
	if _, err := Open(t.Context(), url+"&application_name=hidden", Options{}); !errors.Is(err, ErrURL) || !strings.Contains(err.Error(), "remove application_name") {
		t.Errorf("another name in the URL: %v", err)
	}
}
