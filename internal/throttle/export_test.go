package throttle

import "context"

// Round is one round of Share.
func (l *Limiter) Round(ctx context.Context, x Exchange) error { return l.round(ctx, x) }
