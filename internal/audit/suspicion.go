package audit

// suspect tells the log that somebody else has cut or changed the file, and keeps what was
// found first: records that follow make the end of the file look whole again.
func (l *Log) suspect(found, then string, args ...any) {
	l.suspicion.CompareAndSwap(nil, &found)
	l.log.Error(found+"; "+then, append([]any{"file", l.path}, args...)...)
}

// Suspicion says what was found of a file that somebody else has cut or changed; empty if
// nothing was. It stays until a new file begins because that was asked for (Reopen), or
// until Close.
func (l *Log) Suspicion() string {
	if found := l.suspicion.Load(); found != nil {
		return *found
	}
	return ""
}
