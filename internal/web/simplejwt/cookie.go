package simplejwt

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"signet/internal/web/drf"
	"signet/internal/web/problem"
	"signet/issuer"
)

// CookieName is the name of the cookie. A browser takes __Secure- over TLS alone, or from
// its own machine (RFC 6265bis §4.1.3.1). __Host- would send it to every path.
const CookieName = "__Secure-signet-refresh"

// maxCookie is how long name and value may be together; browsers ignore a longer cookie
// without a word (RFC 6265bis §5.7).
const maxCookie = 4096

// Cookie keeps refresh tokens where no script of a page can read them. A browser sends it
// by itself, so posts from pages that are not listed are refused.
type Cookie struct {
	path   string
	now    func() time.Time
	listed *http.CrossOriginProtection
}

// NewCookie returns the cookie of the issuer at this URL, for its own pages and those of
// the origins. It panics on what is no origin. A nil now means time.Now.
func NewCookie(issuer string, origins []string, now func() time.Time) *Cookie {
	u, err := url.Parse(issuer)
	if err != nil {
		panic(err) // configs has checked it
	}
	if now == nil {
		now = time.Now
	}
	c := &Cookie{path: u.EscapedPath() + "/api/token/", now: now, listed: http.NewCrossOriginProtection()}
	// The issuer's own pages are known by their Host, which a proxy may have changed.
	for _, origin := range append([]string{u.Scheme + "://" + u.Host}, origins...) {
		if err := c.listed.AddTrustedOrigin(origin); err != nil {
			panic(err)
		}
	}
	return c
}

// guard refuses what a page of another origin posts: logout and refresh (CSRF), and a
// login as somebody else. SameSite=Strict alone lets the pages of sibling domains
// through, and stops no login.
func (k *Cookie) guard(errors problem.Renderer, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := k.listed.Check(r); err != nil {
			errors.Write(w, r, problem.Problem{Status: http.StatusForbidden, Cause: err,
				Detail: "CSRF Failed: this was sent by a page whose origin is not one of the issuer's list of origins."})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// put sends the refresh token, if there is a new one.
func (k *Cookie) put(c *drf.Call, tokens issuer.Tokens) error {
	if tokens.Refresh == "" {
		return nil
	}
	if n := len(CookieName) + len(tokens.Refresh); n > maxCookie {
		return fmt.Errorf("the refresh token makes a cookie of %d bytes, and browsers take %d", n, maxCookie)
	}
	left := int(tokens.RefreshExpires.Sub(k.now()) / time.Second)
	k.send(c, tokens.Refresh, tokens.RefreshExpires, max(left, 1))
	return nil
}

func (k *Cookie) clear(c *drf.Call) { k.send(c, "", time.Unix(0, 0), -1) }

func (k *Cookie) send(c *drf.Call, value string, expires time.Time, maxAge int) {
	cookie := http.Cookie{Name: CookieName, Value: value, Path: k.path, Expires: expires, MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	c.Header.Add("Set-Cookie", cookie.String())
}

// presented is the refresh token of a request.
type presented struct {
	token string
	// inCookie means that the answer must not have one in its body: a script that is
	// let in can send the cookie, and read the answer.
	inCookie bool
}

// presented finds the one refresh token of a request. Two are refused: which of two
// cookies is the issuer's cannot be told (RFC 6265bis §8.6), and nothing is cleared then,
// since that would leave the other one.
func (h *Handler) presented(c *drf.Call) (presented, error) {
	var cookies []string
	if h.Cookie != nil {
		cookies = cookieValues(c.Request.Header["Cookie"])
	}
	switch {
	case len(cookies) > 1:
		return presented{}, problem.New(http.StatusBadRequest, "There are two cookies "+CookieName+
			", one of them not from this issuer; remove the cookies of this site in the browser.")
	case len(cookies) == 1 && c.Has("refresh"):
		return presented{}, drf.Invalid("refresh", "The refresh token is in the cookie already; send it in one place.")
	case len(cookies) == 1:
		return presented{cookies[0], true}, nil
	case h.Cookie != nil && !c.Has("refresh"):
		return presented{}, &problem.Problem{Status: http.StatusUnauthorized, Code: "token_not_valid",
			Detail: "There is no refresh token, neither in the cookie nor in the body; log in."}
	}
	fields, err := c.Read(drf.Field{Name: "refresh", Trim: true})
	if err != nil {
		return presented{}, err
	}
	return presented{token: fields[0]}, nil
}

// cookieValues are the values of our cookie. net/http would drop one that is malformed,
// and with it the sign that there are two. Names are trimmed as browsers do (RFC 6265bis
// §5.6): one behind a wider space is another name, for which no prefix is enforced, and
// a page without TLS could set it.
func cookieValues(lines []string) (values []string) {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(pair, "=")
			if strings.Trim(name, " \t") == CookieName {
				values = append(values, strings.Trim(value, " \t"))
			}
		}
	}
	return values
}

// settle clears a cookie that is of no use any more.
func (h *Handler) settle(c *drf.Call, got presented, err error, over bool) {
	if err != nil {
		over = h.Errors.From(err).Status == http.StatusUnauthorized
	}
	if got.inCookie && over {
		h.Cookie.clear(c)
	}
}
