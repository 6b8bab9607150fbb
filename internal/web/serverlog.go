package web

import (
	"log"
	"log/slog"
	"strings"
)

// serverLog is where net/http writes. What strangers cause with a connection, before
// there is a request, is told at debug level: anyone could fill the log with it.
func serverLog(to *slog.Logger) *log.Logger { return log.New(serverLines{to}, "", 0) }

type serverLines struct{ log *slog.Logger }

func (l serverLines) Write(line []byte) (int, error) {
	text := strings.TrimRight(string(line), "\n")
	if causedByStrangers(text) {
		l.log.Debug(text)
	} else {
		l.log.Warn(text)
	}
	return len(line), nil
}

// causedByStrangers knows the lines of net/http by their beginnings.
func causedByStrangers(text string) bool {
	return strings.HasPrefix(text, "http: TLS handshake error from ") ||
		strings.HasPrefix(text, "timeout waiting for ") || // SETTINGS, or a PING, of HTTP/2: a client that is gone
		strings.HasPrefix(text, "http2: ") && !strings.HasPrefix(text, "http2: panic serving ")
}
