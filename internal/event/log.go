package event

import (
	"context"
	"log/slog"
)

const requestID = "request_id"

// Log returns the log with the request_id in every line of a request: that of the answer's
// X-Request-Id, by which whoever complains can be found.
func Log(log *slog.Logger) *slog.Logger { return slog.New(handler{log.Handler()}) }

type handler struct{ slog.Handler }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if id := CallerOf(ctx).RequestID; id != "" && !named(r) {
		r = r.Clone() // a record's attributes may be shared
		r.AddAttrs(slog.String(requestID, id))
	}
	return h.Handler.Handle(ctx, r)
}

// named reports whether the line has the id already.
func named(r slog.Record) (found bool) {
	r.Attrs(func(a slog.Attr) bool {
		found = a.Key == requestID
		return !found
	})
	return found
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
