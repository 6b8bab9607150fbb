package web

import (
	"log/slog"
	"net/http"
	"sync"

	"signet/internal/web/clientaddr"
)

// unnamedProxy tells the operator, once, that requests seem to come through a proxy
// that is not among the trusted ones: then all clients have one address, and the
// failed logins of one make all others wait.
type unnamedProxy struct {
	proxies clientaddr.Proxies
	log     *slog.Logger
	once    sync.Once
}

func (u *unnamedProxy) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(clientaddr.XForwardedFor) != "" || r.Header.Get(clientaddr.Forwarded) != "" {
			if from := u.proxies.Client(r); from == (&clientaddr.Proxies{}).Client(r) {
				u.once.Do(func() {
					u.log.Warn("a request names another client than its sender, and the sender is not in proxies.trusted; if it is a proxy, name it there", "sender", from)
				})
			}
		}
		next.ServeHTTP(w, r)
	})
}
