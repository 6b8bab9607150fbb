package web

import (
	"errors"
	"net/http"

	"github.com/gorilla/mux"
)

// Route is one that the router serves.
type Route struct{ Method, Path string }

// Routes are all that a handler of NewHandler serves, from the router itself: what a test
// of every route goes through.
func Routes(h http.Handler) ([]Route, error) {
	var routes []Route
	outer, ok := h.(*envelope)
	if !ok {
		return nil, errors.New("the handler is not one of NewHandler")
	}
	err := outer.next.(*mux.Router).Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		if err != nil || route.GetHandler() == nil {
			return nil // a subrouter
		}
		methods, err := route.GetMethods()
		if err != nil {
			methods = []string{http.MethodGet, http.MethodPost} // it takes any
		}
		for _, method := range methods {
			routes = append(routes, Route{method, path})
		}
		return nil
	})
	return routes, err
}
