package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"signet/internal/control"
	"signet/internal/shell"
	"signet/issuer"
)

// verification is what a person is told of a token. Another issuer may have written its
// claims: they are shown so that a terminal takes no orders from them.
type verification struct {
	control.Verification
	asked verifyFlags
	now   time.Time
}

// shownBytes bounds a text of a token; a genuine one is shorter.
const shownBytes = 200

// shown is text as it is, or quoted if a terminal or a reader could take it for more.
func shown(text string) string {
	if len(text) > shownBytes {
		return fmt.Sprintf("%.*q…", shownBytes, text)
	}
	if quoted := strconv.Quote(text); text == "" || strings.ContainsRune(text, ' ') || quoted != `"`+text+`"` {
		return quoted
	}
	return text
}

// shownValues bounds a list of a token.
const shownValues = 8

func shownList(values []string) string {
	var list []string
	for _, value := range values[:min(len(values), shownValues)] {
		list = append(list, shown(value))
	}
	if more := len(values) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, ", ")
}

func (v verification) write(w io.Writer) {
	fmt.Fprintf(w, "valid   yes: %s\n", v.what())
	if v.User != "" {
		fmt.Fprintf(w, "user    %s, sub %s\n", shown(v.User), shown(v.Subject))
	} else {
		fmt.Fprintf(w, "sub     %s\n", shown(v.Subject))
	}
	if v.Client != "" && v.Client != issuer.FirstParty {
		fmt.Fprintf(w, "client  %s\n", shown(v.Client))
	}
	if v.Scope != "" {
		fmt.Fprintf(w, "scope   %s\n", shownList(strings.Fields(v.Scope)))
	}
	if v.Session != "" {
		fmt.Fprintf(w, "session %s, %s\n", shown(v.Session), v.sessionState())
	}
	leeway := ""
	if !v.now.Before(v.Expires) {
		leeway = ", and is taken for the leeway of clocks still"
	}
	fmt.Fprintf(w, "expires %s%s\n", in(v.Expires, v.now), leeway)
	fmt.Fprintf(w, "key     %s, %s\n", shown(v.KID), shown(v.Alg))
}

func (v verification) what() string {
	switch {
	case v.Kind == issuer.KindRefresh:
		return "a refresh token that is still honoured; it was not used up"
	case v.asked.url != "":
		return fmt.Sprintf("an access token for %s, by the keys of %s", shownList(v.Audience), v.asked.url)
	}
	return "an access token for " + shownList(v.Audience)
}

func (v verification) sessionState() string {
	if v.asked.url != "" {
		return "about which only the issuer knows"
	}
	if v.Kind == issuer.KindAccess && !v.Expires.Before(v.SessionExpires) {
		return "alive; it ends with this token"
	}
	return "alive; it ends " + in(v.SessionExpires, v.now) + " unless it is refreshed"
}

// sentence says why the token is not valid.
func (v verification) sentence() string {
	switch v.Cause {
	case control.CauseMalformed:
		return "this is no token of a Signet: " + v.Detail
	case control.CauseUnknownKey, control.CauseRevokedKey, control.CauseSignature:
		return v.ofKey()
	case control.CauseIssuer:
		return "it is of another issuer, " + shown(v.Issuer)
	case control.CauseAudience:
		return fmt.Sprintf("it is for %s, and not for %s", shownList(v.Audience), shown(v.asked.audience))
	case control.CauseType:
		return v.ofType()
	case control.CauseExpired, control.CauseNotYetValid:
		return v.ofTime()
	case control.CauseSessionEnded:
		return fmt.Sprintf("its session %s has ended", shown(v.Session))
	case control.CauseReplaced:
		return fmt.Sprintf("it is a refresh token that was replaced by another; to use it would end its session %s", shown(v.Session))
	case control.CauseInactive:
		return v.ofAccount()
	}
	return cmp.Or(v.Detail, string(v.Cause))
}

// ofTime goes by the instants of the token; where it has others, by what was found wrong.
func (v verification) ofTime() string {
	switch {
	case v.Cause == control.CauseExpired && !v.Expires.IsZero():
		return fmt.Sprintf("it expired %s ago, at %s", span(v.now.Sub(v.Expires)), clock(v.Expires))
	case v.Cause == control.CauseNotYetValid && v.NotBefore.After(v.now):
		return fmt.Sprintf("it is not valid before %s", in(v.NotBefore, v.now))
	}
	return v.Detail
}

func (v verification) ofKey() string {
	kid := shown(v.KID)
	switch {
	case v.Cause == control.CauseSignature:
		return "its signature does not verify: it was changed, or another key than " + kid + " signed it"
	case v.Cause == control.CauseRevokedKey:
		return "it names key " + kid + ", which was revoked"
	case v.asked.url != "":
		return "it names key " + kid + ", which " + v.asked.url + " does not publish"
	}
	return "it names key " + kid + ", which this issuer does not have, or not any more"
}

func (v verification) ofType() string {
	if v.Kind == issuer.KindRefresh && v.Typ == issuer.TypRefresh {
		return "it is a refresh token, which is for the issuer alone: no service takes it"
	}
	return fmt.Sprintf("it is no access token: typ is %s, token_type is %s", shown(v.Typ), shown(v.Kind))
}

func (v verification) ofAccount() string {
	if v.User == "" {
		return fmt.Sprintf("the account with sub %s is gone", shown(v.Subject))
	}
	return fmt.Sprintf("the account %s is disabled", shown(v.User))
}

// hint is what to type next. It repeats nothing that a stranger can have written.
func (v verification) hint() string {
	switch v.Cause {
	case control.CauseMalformed:
		return "signet token verify --file FILE  # with the token alone in it: three parts with dots between, no Bearer, no quotes"
	case control.CauseUnknownKey, control.CauseRevokedKey:
		return v.keyHint()
	case control.CauseIssuer:
		return v.issuerHint()
	case control.CauseAudience:
		return "signet token verify  # without --audience: for whomever it is"
	case control.CauseExpired:
		return "date -u  # is the clock right? if so, the client has to refresh or to log in again"
	case control.CauseNotYetValid:
		return "date -u  # the clock here is behind that of the issuer"
	case control.CauseSessionEnded:
		return "signet sessions list  # shows those that are alive"
	case control.CauseReplaced:
		return shell.Command("signet", "sessions", "end", v.Session) + "  # if it is in the wrong hands"
	case control.CauseInactive:
		if v.User == "" {
			return "signet users list  # shows the accounts"
		}
		return shell.Command("signet", "users", "enable", v.User) + "  # lets the account log in again"
	case control.CauseClientGone:
		return "signet clients list  # shows the clients"
	}
	return "signet token inspect -  # shows what it says"
}

func (v verification) keyHint() string {
	if v.asked.url != "" {
		return shell.Command("signet", "doctor", "--url", v.asked.url) + "  # shows whether its keys are served as they should be"
	}
	return "signet keys list  # shows the keys"
}

func (v verification) issuerHint() string {
	if v.asked.url != "" {
		return "signet token verify --url URL  # of the issuer that it names"
	}
	return "signet doctor  # shows the URL of this issuer; without a server it is that of --config FILE"
}
