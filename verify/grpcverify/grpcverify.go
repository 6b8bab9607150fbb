// Package grpcverify holds gRPC calls against a [verify.Verifier], for servers
// that have gRPC; package verify itself does not need it.
//
// Start at [Guard]. Like the HTTP middleware it takes the token from the metadata
// "authorization" alone, and puts the claims where [verify.FromContext] finds them.
// A call without a good token gets Unauthenticated, one without a scope
// PermissionDenied, and any call gets Unavailable while the keys cannot be had.
package grpcverify

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"signet/verify"
)

// Guard is a pair of interceptors.
//
//	g := &grpcverify.Guard{Verifier: v}
//	grpc.NewServer(grpc.UnaryInterceptor(g.Unary), grpc.StreamInterceptor(g.Stream))
//
// The zero Guard refuses every call.
type Guard struct {
	Verifier *verify.Verifier
	// Scopes are what a method asks for, by its full name: "/orders.Orders/Read".
	Scopes map[string][]string
	// Public are the full names of methods that need no token.
	Public []string
	// Refused, if set, is told of every refused call; err is for the log.
	Refused func(ctx context.Context, method string, err error)
}

// Unary is a grpc.UnaryServerInterceptor.
func (g *Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := g.authorize(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// Stream is a grpc.StreamServerInterceptor. The token is checked once, when the
// stream begins: a long stream outlives it.
func (g *Guard) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := g.authorize(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handler(srv, &authorizedStream{stream, ctx})
}

type authorizedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *authorizedStream) Context() context.Context { return s.ctx }

func (g *Guard) authorize(ctx context.Context, method string) (context.Context, error) {
	if slices.Contains(g.Public, method) {
		return ctx, nil
	}
	header := metadata.ValueFromIncomingContext(ctx, "authorization")
	authorized, err := g.Verifier.Authorize(ctx, header, g.Scopes[method]...)
	if err == nil {
		return authorized, nil
	}
	if g.Refused != nil {
		g.Refused(ctx, method, err)
	}
	return nil, answer(err)
}

// answer keeps the cause inside.
func answer(err error) error {
	switch {
	case errors.Is(err, verify.ErrKeysUnavailable):
		return status.Error(codes.Unavailable, verify.ErrKeysUnavailable.Error())
	case errors.Is(err, verify.ErrConfig):
		return status.Error(codes.Internal, "internal error")
	case errors.Is(err, verify.ErrScope):
		return status.Error(codes.PermissionDenied, verify.ErrScope.Error())
	case errors.Is(err, verify.ErrExpired):
		return status.Error(codes.Unauthenticated, verify.ErrExpired.Error())
	}
	return status.Error(codes.Unauthenticated, "no valid token")
}
