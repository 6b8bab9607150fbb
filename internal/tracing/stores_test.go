package tracing

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"signet/issuer"
	"signet/issuer/oauth"
	"signet/users"
)

var (
	errDisk    = errors.New("the disk of kyoko is full")
	errRefused = errors.New("kyoko is not known")
)

type sessionStub struct {
	issuer.Store
	err error
}

func (s sessionStub) CreateSession(context.Context, issuer.Session) error { return s.err }
func (s sessionStub) EndSession(context.Context, string) error            { return s.err }
func (s sessionStub) Session(context.Context, string) (issuer.Session, error) {
	return issuer.Session{}, s.err
}
func (s sessionStub) AdvanceSession(context.Context, string, issuer.Step) (issuer.Session, issuer.Outcome, error) {
	return issuer.Session{}, 0, s.err
}

type refresherStub struct {
	issuer.Store
	err error
}

func (s refresherStub) SessionWithUser(context.Context, string, string) (users.User, issuer.Session, error) {
	return users.User{}, issuer.Session{}, s.err
}
func (s refresherStub) AdvanceWithUser(context.Context, string, string, issuer.Step, int) (users.User, issuer.Session, issuer.Outcome, error) {
	return users.User{}, issuer.Session{}, 0, s.err
}

type accountStub struct {
	users.Store
	err error
}

func (s accountStub) UpdateUser(context.Context, users.User) error { return s.err }
func (s accountStub) UserByName(context.Context, string) (users.User, error) {
	return users.User{}, s.err
}
func (s accountStub) UserByID(context.Context, string) (users.User, error) {
	return users.User{}, s.err
}

type clientStub struct {
	oauth.Store
	err error
}

func (s clientStub) Client(context.Context, string) (oauth.Client, error) {
	return oauth.Client{}, s.err
}
func (s clientStub) UseAssertion(context.Context, string, string, time.Time) error { return s.err }

type userStub struct {
	issuer.Users
	err error
}

func (s userStub) Authenticate(context.Context, string, string) (users.User, error) {
	return users.User{}, s.err
}

// TestSteps: each step has a span of its name with the error that the storage is to blame
// for, and no word of that error; outside of a request there is none.
func TestSteps(t *testing.T) {
	steps := map[string]func(ctx context.Context, p *Provider, err error) error{
		"store CreateSession": func(ctx context.Context, p *Provider, err error) error {
			return p.Sessions(sessionStub{err: err}).CreateSession(ctx, issuer.Session{})
		},
		"store Session": func(ctx context.Context, p *Provider, err error) error {
			_, err = p.Sessions(sessionStub{err: err}).Session(ctx, "")
			return err
		},
		"store AdvanceSession": func(ctx context.Context, p *Provider, err error) error {
			_, _, err = p.Sessions(sessionStub{err: err}).AdvanceSession(ctx, "", issuer.Step{})
			return err
		},
		"store EndSession": func(ctx context.Context, p *Provider, err error) error {
			return p.Sessions(sessionStub{err: err}).EndSession(ctx, "")
		},
		"store SessionWithUser": func(ctx context.Context, p *Provider, err error) error {
			_, _, err = p.Sessions(refresherStub{err: err}).(issuer.Refresher).SessionWithUser(ctx, "", "")
			return err
		},
		"store AdvanceWithUser": func(ctx context.Context, p *Provider, err error) error {
			_, _, _, err = p.Sessions(refresherStub{err: err}).(issuer.Refresher).AdvanceWithUser(ctx, "", "", issuer.Step{}, 0)
			return err
		},
		"store UserByName": func(ctx context.Context, p *Provider, err error) error {
			_, err = p.Accounts(accountStub{err: err}).UserByName(ctx, "kyoko")
			return err
		},
		"store UserByID": func(ctx context.Context, p *Provider, err error) error {
			_, err = p.Accounts(accountStub{err: err}).UserByID(ctx, "kyoko")
			return err
		},
		"store UpdateUser": func(ctx context.Context, p *Provider, err error) error {
			return p.Accounts(accountStub{err: err}).UpdateUser(ctx, users.User{Name: "kyoko"})
		},
		"store Client": func(ctx context.Context, p *Provider, err error) error {
			_, err = p.Clients(clientStub{err: err}).Client(ctx, "kyoko")
			return err
		},
		"store UseAssertion": func(ctx context.Context, p *Provider, err error) error {
			return p.Clients(clientStub{err: err}).UseAssertion(ctx, "kyoko", "", time.Time{})
		},
		"check password": func(ctx context.Context, p *Provider, err error) error {
			_, err = p.Passwords(userStub{err: err}).Authenticate(ctx, "kyoko", "")
			return err
		},
	}
	recorder := tracetest.NewSpanRecorder()
	sdk := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	p := &Provider{sdk: sdk, tracer: sdk.Tracer("test"), failed: func(err error) bool { return errors.Is(err, errDisk) }}
	for name, step := range steps {
		for _, want := range []error{nil, errRefused, errDisk} {
			if got := step(t.Context(), nil, want); got != want {
				t.Errorf("%s without traces: %v, want %v", name, got, want)
			}
			if got := step(t.Context(), p, want); got != want || len(recorder.Ended()) != 0 {
				t.Errorf("%s outside of a request: %v and %d spans, want %v and none", name, got, len(recorder.Ended()), want)
			}
			ctx, request := p.tracer.Start(t.Context(), "request")
			if got := step(ctx, p, want); got != want {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
			ended := recorder.Ended()
			recorder.Reset()
			if len(ended) != 1 || ended[0].Name() != name || ended[0].Parent().SpanID() != request.SpanContext().SpanID() {
				t.Errorf("%s: the spans are %v", name, ended)
				continue
			}
			checkFailure(t, ended[0], want == errDisk)
		}
	}
}

// TestOptionalStepsStayOptional: a store without a step does not get it by being traced.
func TestOptionalStepsStayOptional(t *testing.T) {
	p := &Provider{}
	if _, ok := p.Sessions(sessionStub{}).(issuer.Refresher); ok {
		t.Error("a store that is no Refresher is one when it is traced")
	}
}

func checkFailure(t *testing.T, span sdktrace.ReadOnlySpan, failed bool) {
	t.Helper()
	status, said := sdktrace.Status{}, []attribute.KeyValue(nil)
	if failed {
		status, said = sdktrace.Status{Code: codes.Error}, []attribute.KeyValue{attribute.String("error.type", "storage")}
	}
	if span.Status() != status || len(span.Attributes()) != len(said) || failed && span.Attributes()[0] != said[0] || len(span.Events()) != 0 {
		t.Errorf("%s has status %v, attributes %v and events %v", span.Name(), span.Status(), span.Attributes(), span.Events())
	}
}
