package oauth_test

import (
	"testing"

	"signet/issuer"
	"signet/issuer/oauth"
)

// One token cannot have two types: the client asks for one each (RFC 8707 §2).
func TestServicesThatWantDifferentTypes(t *testing.T) {
	f := newFixture(t)
	client := f.add(t, batch())
	p := policy()
	p.Types = map[string]string{"ledger": issuer.TypJWT, "https://billing.example": issuer.TypAccess}
	f.Server.Issuer.(*issuer.Issuer).SetPolicy(p)
	ask := func(audience ...string) error {
		_, err := f.Token(t.Context(), oauth.TokenRequest{Client: client, Grant: oauth.ClientCredentials, Audience: audience})
		return err
	}
	wantCode(t, "both", ask("ledger", "https://billing.example"), oauth.InvalidTarget)
	for service, want := range p.Types {
		header, _ := decode(t, f.machine(t, client, service))
		if header["typ"] != want {
			t.Errorf("typ for %s is %v, want %s", service, header["typ"], want)
		}
	}
}
