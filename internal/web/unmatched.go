package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"signet/internal/web/problem"
)

// unmatched answers what no route takes.
type unmatched struct {
	router *mux.Router
	errors problem.Renderer
}

func (u *unmatched) mount() {
	u.router.NotFoundHandler = http.HandlerFunc(u.notFound)
	u.router.MethodNotAllowedHandler = http.HandlerFunc(u.wrongMethod)
}

func (u *unmatched) notFound(w http.ResponseWriter, r *http.Request) {
	u.errors.Error(w, r, problem.New(http.StatusNotFound, "Not found. GET / lists what there is."))
}

// wrongMethod also answers OPTIONS for the routes that do not do so themselves.
func (u *unmatched) wrongMethod(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", strings.Join(u.allowed(r), ", ")) // RFC 9110 §15.5.6
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	u.errors.Error(w, r, problem.New(http.StatusMethodNotAllowed, fmt.Sprintf("Method \"%.20s\" not allowed.", r.Method)))
}

// allowed collects the methods of the routes with the path of r.
func (u *unmatched) allowed(r *http.Request) []string {
	var methods []string
	u.router.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		var match mux.RouteMatch
		if route.Match(r, &match) || errors.Is(match.MatchErr, mux.ErrMethodMismatch) {
			own, _ := route.GetMethods() // an error means: any
			methods = append(methods, own...)
		}
		return nil
	})
	if !slices.Contains(methods, http.MethodOptions) {
		methods = append(methods, http.MethodOptions)
	}
	return methods
}
