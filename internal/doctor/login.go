package doctor

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// login sends each dialect an empty login, which it refuses by naming the fields.
func (v *visit) login(ctx context.Context) []Check {
	r := &report{name: "login"}
	var answered []string
	for _, d := range []struct {
		path, setting string
		on            bool
	}{
		{"/api/token/", "dialects.simplejwt", v.Deployment == nil || v.Deployment.SimpleJWT},
		{"/api-token-auth/", "dialects.drf_jwt", v.Deployment == nil || v.Deployment.DRFJWT},
	} {
		if d.on && v.askLogin(ctx, r, d.path, d.setting) {
			answered = append(answered, d.path)
		}
	}
	if len(answered) == 0 {
		return r.orSkip("no dialect is served")
	}
	return r.orOK("%s answers as it should", strings.Join(answered, ", "))
}

// askLogin reports whether the dialect is there.
func (v *visit) askLogin(ctx context.Context, r *report, path, setting string) bool {
	pass := "let the proxy pass POST " + path + " on to signet, and its answers back unchanged"
	a, err := v.post(ctx, v.URL+path, "application/json", "{}")
	if err != nil {
		r.fail(pass, "%s: %v", path, cause(err))
		return true
	}
	if a.status == http.StatusNotFound {
		if v.Deployment != nil {
			r.fail(pass+"; or restart signet serve if the setting is newer than it", "%s is on, and %s answers %s", setting, path, a.says())
		}
		return false
	}
	if !a.refuse(r, http.StatusBadRequest, pass) && !namesFields(a.body) {
		r.fail(pass, "the 400 of %s is not signet's: it does not name the fields", path)
	}
	return true
}

func namesFields(body []byte) bool {
	var fields map[string][]string
	return json.Unmarshal(body, &fields) == nil && len(fields["username"]) > 0 && len(fields["password"]) > 0
}

func sortedKeys(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
