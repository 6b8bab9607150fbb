// Command orders is a resource server in one file: it takes access tokens of one
// issuer for one audience, and answers whose they are. Start at newHandler.
//
// It refuses what package verify refuses, asks the issuer for nothing but its keys,
// and speaks plain HTTP to this machine alone.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"signet/verify"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		slog.Error("orders", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and lets requests under way finish.
func run(ctx context.Context) error {
	v := verify.New(env("ISSUER", "http://127.0.0.1:8080"), env("AUDIENCE", "orders"))
	v.Algorithms = []string{"ES256", "RS256"} // RFC 8725 §3.1: no more than the issuer uses
	v.Error = refuse
	defer v.Close()

	server := &http.Server{
		Addr:              net.JoinHostPort("127.0.0.1", env("PORT", "9000")),
		Handler:           newHandler(v),
		ReadHeaderTimeout: 5 * time.Second, // a client that sends no header holds no connection
		IdleTimeout:       time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return server.Shutdown(grace)
}

// newHandler has the routes; what is behind v.Middleware has claims.
func newHandler(v *verify.Verifier) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /orders", v.Middleware(http.HandlerFunc(orders)))
	return mux
}

func orders(w http.ResponseWriter, r *http.Request) {
	claims, _ := verify.FromContext(r.Context())
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"sub": claims.Subject})
}

// refuse logs why; the client gets the status and what WWW-Authenticate says.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	slog.Warn("refused", "path", r.URL.Path, "error", err)
	status := verify.Status(err)
	http.Error(w, http.StatusText(status), status)
}

func env(name, otherwise string) string { return cmp.Or(os.Getenv(name), otherwise) }
