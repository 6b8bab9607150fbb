package drfjwt

import (
	"errors"

	"signet/internal/web/drf"
	"signet/internal/web/problem"
	"signet/issuer"
	"signet/users"
)

// texts are the words of the dialect. Their order matters: the first that an error
// wraps decides.
var texts = []struct {
	err  error
	text string
}{
	{users.ErrCredentials, "Unable to log in with provided credentials."},
	{issuer.ErrExpired, "Signature has expired."},
	{issuer.ErrRenewalOver, "Refresh has expired."},
	{issuer.ErrDisabled, "User account is disabled."},
	{issuer.ErrInactive, "User doesn't exist."},
	{issuer.ErrNoSession, "Token is blacklisted."},
	{issuer.ErrWrongType, "Error decoding signature."},
	{issuer.ErrInvalid, "Error decoding signature."},
}

// refusing tells what serve refuses in the words of the dialect, with 400. What is not
// the fault of the request stays as it is.
func refusing(serve drf.Endpoint) drf.Endpoint {
	return func(c *drf.Call) (any, error) {
		answer, err := serve(c)
		if text := words(err); text != "" {
			refused := drf.Invalid(problem.NonField, text)
			refused.Cause = err
			return nil, refused
		}
		return answer, err
	}
}

func words(err error) string {
	if missing, ok := errors.AsType[*issuer.MissingClaimError](err); ok {
		if missing.Claim == "orig_iat" {
			return "orig_iat field is required."
		}
		return "Invalid payload."
	}
	for _, t := range texts {
		if errors.Is(err, t.err) {
			return t.text
		}
	}
	return ""
}
