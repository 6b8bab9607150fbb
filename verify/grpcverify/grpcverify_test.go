package grpcverify_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"signet/verify"
	"signet/verify/grpcverify"
)

const (
	check = "/grpc.health.v1.Health/Check"
	watch = "/grpc.health.v1.Health/Watch"
)

// issue signs an access token with this scope.
func issue(private ed25519.PrivateKey, exp time.Time, scope string) string {
	encode := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	input := encode(map[string]any{"alg": "EdDSA", "kid": "k", "typ": "JWT"}) + "." + encode(map[string]any{
		"iss": "https://login.example.com", "aud": "orders", "sub": "u1", "token_type": "access", "iat": exp.Unix() - 300, "exp": exp.Unix(), "scope": scope,
	})
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(private, []byte(input)))
}

// serve runs a gRPC server in memory, and returns a client of it.
func serve(t *testing.T, g *grpcverify.Guard) healthpb.HealthClient {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(grpc.UnaryInterceptor(g.Unary), grpc.StreamInterceptor(g.Stream))
	healthpb.RegisterHealthServer(server, &seeing{Server: health.NewServer(), t: t})
	go server.Serve(listener)
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); server.Stop() })
	return healthpb.NewHealthClient(conn)
}

// seeing insists on claims in each call.
type seeing struct {
	*health.Server
	t *testing.T
}

func (s *seeing) Check(ctx context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if c, ok := verify.FromContext(ctx); !ok || c.Subject != "u1" {
		s.t.Errorf("claims %v in a unary call", c)
	}
	return s.Server.Check(ctx, r)
}

func (s *seeing) Watch(r *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	if c, ok := verify.FromContext(stream.Context()); !ok || c.Subject != "u1" {
		s.t.Errorf("claims %v in a stream", c)
	}
	return s.Server.Watch(r, stream)
}

type failing struct{}

func (failing) Key(context.Context, string) (*verify.Key, error) {
	return nil, verify.ErrKeysUnavailable
}

func TestGuard(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	verifier := func(keys verify.KeySource) *verify.Verifier {
		return &verify.Verifier{Issuer: "https://login.example.com", Audience: "orders", Keys: keys}
	}
	scopes := map[string][]string{check: {"read"}, watch: {"read"}}
	ok := &grpcverify.Guard{Verifier: verifier(verify.Static{"k": {Alg: "EdDSA", Public: public}}), Scopes: scopes}
	later := time.Now().Add(time.Minute)
	good := "Bearer " + issue(private, later, "read write")
	tests := []struct {
		name   string
		guard  *grpcverify.Guard
		header []string
		want   codes.Code
	}{
		{"good", ok, []string{good}, codes.OK},
		{"none", ok, nil, codes.Unauthenticated},
		{"two", ok, []string{good, good}, codes.Unauthenticated},
		{"no scheme", ok, []string{good[7:]}, codes.Unauthenticated},
		{"expired", ok, []string{"Bearer " + issue(private, time.Now().Add(-time.Minute), "read")}, codes.Unauthenticated},
		{"without the scope", ok, []string{"Bearer " + issue(private, later, "write")}, codes.PermissionDenied},
		{"no keys", &grpcverify.Guard{Verifier: verifier(failing{})}, []string{good}, codes.Unavailable},
		{"zero Guard", &grpcverify.Guard{}, []string{good}, codes.Internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var refused error
			tt.guard.Refused = func(_ context.Context, _ string, err error) { refused = err }
			client := serve(t, tt.guard)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for _, value := range tt.header {
				ctx = metadata.AppendToOutgoingContext(ctx, "Authorization", value)
			}
			_, err := client.Check(ctx, &healthpb.HealthCheckRequest{})
			if status.Code(err) != tt.want {
				t.Errorf("unary: %v, want %v", err, tt.want)
			}
			stream, err := client.Watch(ctx, &healthpb.HealthCheckRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) != tt.want || (refused == nil) != (tt.want == codes.OK) {
				t.Errorf("stream: %v, want %v; told %v", err, tt.want, refused)
			}
		})
	}
}

func TestPublicMethodsNeedNoToken(t *testing.T) {
	g := &grpcverify.Guard{Public: []string{check}}
	handler := func(context.Context, any) (any, error) { return "done", nil }
	if got, err := g.Unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: check}, handler); got != "done" || err != nil {
		t.Errorf("public: %v, %v", got, err)
	}
	g.Verifier = &verify.Verifier{Issuer: "i", Audience: "a", Keys: failing{}}
	var told error
	g.Refused = func(_ context.Context, _ string, err error) { told = err }
	_, err := g.Unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: watch}, handler)
	if status.Code(err) != codes.Unauthenticated || !errors.Is(told, verify.ErrNoToken) {
		t.Errorf("not public: %v, told %v", err, told)
	}
}
