package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// chain answers a refresh token with its successor, and a token that it has seen with 401.
type chain struct {
	mu     sync.Mutex
	valid  map[string]bool
	length int
}

func newChain(n int) *chain {
	c := &chain{valid: map[string]bool{}}
	for range n {
		c.next()
	}
	return c
}

func (c *chain) next() string {
	c.length++
	token := fmt.Sprintf("token%d.x-y_z", c.length)
	c.valid[token] = true
	return token
}

func (c *chain) first() (tokens []string) {
	for token := range c.valid {
		tokens = append(tokens, token)
	}
	return tokens
}

// ServeHTTP implements http.Handler.
func (c *chain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	token := strings.TrimSuffix(strings.TrimPrefix(string(body), `{"refresh":"`), `"}`)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || !c.valid[token] {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	delete(c.valid, token)
	fmt.Fprintf(w, `{"access":"a.b.c","refresh":%q}`, c.next())
}
