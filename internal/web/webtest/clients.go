package webtest

import (
	"context"
	"testing"

	"signet/issuer/oauth"
)

// AddClient registers an OAuth client and returns its secret.
func (e *Env) AddClient(t testing.TB, c oauth.Client) string {
	t.Helper()
	_, secret, err := e.Clients.Add(context.Background(), c, e.Policy.URL)
	must(t, err)
	return secret
}
