package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"signet/internal/compactjws"
	"signet/internal/event"
	"signet/internal/shell"
	"signet/issuer"
	"signet/issuer/oauth"
)

// The operations on tokens beside JudgeToken.
var (
	IssueToken  = change("token issue", (*Operator).issueToken)
	VerifyToken = look("token verify", (*Operator).verifyToken)
)

// TokenOrder asks for a token: either User or Client is set.
type TokenOrder struct {
	User   string `json:"user,omitempty"`
	Client string `json:"client_id,omitempty"`
	// Audience and Scope narrow what the token is for; empty is all that may be had.
	Audience []string `json:"audience,omitempty"`
	Scope    []string `json:"scope,omitempty"`
	// ExpiresIn is shorter than tokens.access; 0 is that.
	ExpiresIn time.Duration `json:"expires_in,omitempty"`
	// Refresh asks for a refresh token as well: a user's session as a login begins it.
	Refresh bool `json:"refresh,omitempty"`
}

// IssuedToken is the answer, with what the log says of it.
type IssuedToken struct {
	oauth.TokenResponse
	ID      string `json:"jti"`
	KID     string `json:"kid"`
	Subject string `json:"sub"`
	Client  string `json:"client_id"`
	Session string `json:"sid,omitempty"`
	// For is the user or the client as the order named it.
	For string `json:"for"`
}

// What the command is about, for the log: never a token.
func (t TokenOrder) target() string {
	if t.Client != "" {
		return "client " + t.Client
	}
	return "user " + t.User
}

func (t IssuedToken) target() string { return fmt.Sprintf("%s, jti %s, kid %s", t.For, t.ID, t.KID) }

func (t IssuedToken) tell(e *event.Event) {
	e.Subject, e.Session, e.Client = t.Subject, t.Session, t.Client
}

var (
	errWhoseToken = errors.New("name the user or the client that the token is for")
	errClientOnly = errors.New("a scope is for clients: the tokens of users have none")
	errUserOnly   = errors.New("a refresh token is for users: a client asks for another token")
	errLikeLogin  = errors.New("with a refresh token it is a session as a login begins it: an audience or a lifetime of its own would last until the first refresh")
	errDisabled   = errors.New("the account is disabled")
	errUnkept     = errors.New("the keys are not kept for as long")
)

func (t TokenOrder) check() error {
	switch {
	case (t.User == "") == (t.Client == ""):
		return errWhoseToken
	case t.User != "" && len(t.Scope) > 0:
		return errClientOnly
	case t.Client != "" && t.Refresh:
		return errUserOnly
	case t.Refresh && (len(t.Audience) > 0 || t.ExpiresIn != 0):
		return errLikeLogin
	}
	return nil
}

// issueToken makes nothing that could not be put on record: a token that nobody can trace
// is not handed out.
func (o *Operator) issueToken(ctx context.Context, in TokenOrder) (IssuedToken, error) {
	if err := in.check(); err != nil {
		return IssuedToken{}, err
	}
	if err := o.checkLifetime(in); err != nil {
		return IssuedToken{}, err
	}
	if o.Audit != nil {
		if err := o.Audit.Ready(); err != nil {
			return IssuedToken{}, err
		}
	}
	issue := o.issueToUser
	if in.Client != "" {
		issue = o.issueToClient
	}
	answer, err := issue(ctx, in)
	if err != nil {
		return IssuedToken{}, err
	}
	return o.described(in, answer)
}

// checkLifetime refuses a token that lives longer than its settings say, or than its key is
// published: a command without a server has settings of its own, and the keys go by those
// of the last server.
func (o *Operator) checkLifetime(in TokenOrder) error {
	access, refresh := o.Issuer.Lifetimes()
	kept := o.Keys.Policy()
	switch {
	case in.ExpiresIn > access:
		return fmt.Errorf("%w: %v is longer than tokens.access (%v)", issuer.ErrWider, in.ExpiresIn, access)
	case in.ExpiresIn != 0 && in.ExpiresIn < time.Second:
		return fmt.Errorf("a lifetime of %v: it is a second at least", in.ExpiresIn)
	case access > kept.AccessLifetime:
		return fmt.Errorf("%w: tokens.access is %v here, and was %v when the server last ran", errUnkept, access, kept.AccessLifetime)
	case in.Refresh && refresh > kept.RefreshLifetime:
		return fmt.Errorf("%w: tokens.refresh is %v here, and was %v when the server last ran", errUnkept, refresh, kept.RefreshLifetime)
	}
	return nil
}

// bearer is the only token_type (RFC 6750).
const bearer = "Bearer"

func (o *Operator) issueToUser(ctx context.Context, in TokenOrder) (oauth.TokenResponse, error) {
	u, err := o.Users.ByName(ctx, in.User)
	if err != nil {
		return oauth.TokenResponse{}, err
	}
	if u.Disabled {
		return oauth.TokenResponse{}, fmt.Errorf("%q: %w", u.Name, errDisabled)
	}
	tokens, err := o.Issuer.OpenSession(ctx, u.ID, issuer.Order{Audience: in.Audience, Lifetime: in.ExpiresIn, Refresh: in.Refresh})
	if err != nil {
		return oauth.TokenResponse{}, fmt.Errorf("%q: %w", u.Name, err)
	}
	return oauth.TokenResponse{
		AccessToken: tokens.Access, TokenType: bearer, RefreshToken: tokens.Refresh,
		ExpiresIn: max(0, int64(tokens.Expires.Sub(o.now())/time.Second)),
	}, nil
}

// issueToClient is the grant client_credentials without the secret (RFC 6749 §4.4).
func (o *Operator) issueToClient(ctx context.Context, in TokenOrder) (oauth.TokenResponse, error) {
	c, err := o.Clients.Get(ctx, in.Client)
	if err != nil {
		return oauth.TokenResponse{}, err
	}
	if len(in.Audience) == 0 && len(c.Audiences) > 1 {
		return oauth.TokenResponse{}, whichServiceError{c}
	}
	request := oauth.TokenRequest{
		Client: c, Grant: oauth.ClientCredentials, Scope: strings.Join(in.Scope, " "), Audience: in.Audience,
	}
	if in.ExpiresIn > 0 {
		request.NotAfter = o.now().Add(in.ExpiresIn)
	}
	answer, err := o.oauth().Token(ctx, request)
	if refused, ok := errors.AsType[*oauth.Error](err); ok {
		return oauth.TokenResponse{}, clientRefusal{c.ID, refused}
	}
	return answer, err
}

// whichServiceError: a client of several services has a choice to make (RFC 8707 §2).
type whichServiceError struct{ client oauth.Client }

func (e whichServiceError) Error() string {
	return fmt.Sprintf("%q: name the service that the token is for, of %s", e.client.ID, strings.Join(e.client.Audiences, ", "))
}

func (e whichServiceError) hint() string {
	return shell.Command("signet", "token", "issue", "--client", e.client.ID, "--audience", e.client.Audiences[0])
}

// clientRefusal is told by its description: the codes of RFC 6749 §5.2 are for clients.
type clientRefusal struct {
	id      string
	refused *oauth.Error
}

func (r clientRefusal) Error() string { return fmt.Sprintf("%q: %s", r.id, r.refused.Description) }
func (r clientRefusal) Unwrap() error { return r.refused }

func (o *Operator) oauth() *oauth.Server {
	return &oauth.Server{Issuer: o.Issuer, Clients: o.Clients, Now: o.Now}
}

// described reads back what the log is to say.
func (o *Operator) described(in TokenOrder, answer oauth.TokenResponse) (IssuedToken, error) {
	made, err := compactjws.Parse(answer.AccessToken, compactjws.MaxBytes)
	if err != nil {
		return IssuedToken{}, err
	}
	claims, err := o.Issuer.Parse(answer.AccessToken)
	if err != nil {
		return IssuedToken{}, err
	}
	return IssuedToken{
		TokenResponse: answer, For: in.target(), ID: claims.ID, KID: made.Header.KID,
		Subject: claims.Subject, Client: claims.Client, Session: claims.Session,
	}, nil
}

func tokenHint(err error) string {
	refused, ofClient := errors.AsType[clientRefusal](err)
	which, undecided := errors.AsType[whichServiceError](err)
	switch {
	case undecided:
		return which.hint()
	case ofClient:
		return "signet clients show " + refused.id + "  # shows what it was registered for"
	case errors.Is(err, errDisabled), errors.Is(err, issuer.ErrInactive):
		return "signet users enable NAME  # lets the account log in again"
	case errors.Is(err, issuer.ErrWider):
		return "signet token issue --help  # without --audience and --expires-in it is what a login gives"
	case errors.Is(err, errUnkept):
		return "signet serve  # with these settings once; or give the command the configuration of the server with --config FILE"
	}
	return ""
}
