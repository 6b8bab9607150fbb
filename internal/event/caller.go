package event

import (
	"context"
	"net/netip"
)

// Caller is on whose request something was done.
type Caller struct {
	// Address is a client's, behind trusted proxies; the zero Addr is unknown.
	Address netip.Addr
	// RequestID is that of the log and of the X-Request-Id header.
	RequestID string
	// Operator is the system's user id of whoever gave a command; empty for others.
	Operator string
}

type callerKey struct{}

// WithCaller returns a context that says on whose request things are done.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns the caller, or the zero one: the server itself.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
