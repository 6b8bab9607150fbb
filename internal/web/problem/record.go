package problem

import "context"

// Record is what the log wants to know of a request beside its answer. The server
// makes one for each request, and logs it once.
type Record struct {
	// ID is the request id.
	ID string
	// Route is the pattern that matched; empty if none did. The path itself may
	// hold anything that a stranger cares to type, or mistypes.
	Route string
	// Cause is the error behind the answer.
	Cause error
	// Shape is how the dialect of the route writes errors, also for what answers
	// outside of it: a panic that nobody else caught.
	Shape Shape

	lost bool // nobody will read this
}

type recordKey struct{}

// WithRecord returns a context that carries record.
func WithRecord(ctx context.Context, record *Record) context.Context {
	return context.WithValue(ctx, recordKey{}, record)
}

// RecordOf returns the record of a request's context; never nil.
func RecordOf(ctx context.Context) *Record {
	if record, ok := ctx.Value(recordKey{}).(*Record); ok {
		return record
	}
	return &Record{lost: true}
}
