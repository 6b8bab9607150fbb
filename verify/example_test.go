package verify_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"

	"signet/verify"
)

// A resource server: any good token for GET, one with a scope for POST.
func Example() {
	v := verify.New("https://login.example.com", "orders")

	list := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := verify.FromContext(r.Context())
		fmt.Fprintf(w, "orders of %s\n", claims.Subject)
	})
	mux := http.NewServeMux()
	mux.Handle("GET /orders", v.Middleware(list))
	mux.Handle("POST /orders", v.RequireScope("orders:write")(list))

	fmt.Println(ask(mux).Header.Get("WWW-Authenticate"))
	// Output: Bearer realm="orders"
}

// Outside of HTTP, an error says what to do.
func ExampleVerifier_Verify() {
	v := verify.New("https://login.example.com", "orders")
	claims, err := v.Verify(context.Background(), "not a token")
	switch {
	case errors.Is(err, verify.ErrKeysUnavailable):
		log.Print("try again later")
	case errors.Is(err, verify.ErrExpired):
		log.Print("get a new token")
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(claims.Subject, claims.HasScope("orders:read"))
	}
	// Output: not a compact JWS: it must have three parts
}
