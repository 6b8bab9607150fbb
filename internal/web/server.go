package web

import (
	"log/slog"
	"net/http"
	"time"
)

// http2Limits are for HTTP/2, where TLS is served: what one connection can hold is what
// a few of HTTP/1.1 can; [AtMost] bounds all of them. The times are those of the server, for each stream.
var http2Limits = http.HTTP2Config{
	MaxConcurrentStreams:          16,
	MaxReadFrameSize:              16 << 10,
	MaxReceiveBufferPerConnection: 256 << 10,
	MaxReceiveBufferPerStream:     64 << 10,
	SendPingTimeout:               60 * time.Second, // nobody is there any more
	PingTimeout:                   15 * time.Second,
	WriteByteTimeout:              10 * time.Second,
}

// HTTPServer returns a server for the handler that no slow or endless request
// can hold.
func HTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second, // a body later than this is answered with 408
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    16 << 10,
		HTTP2:             &http2Limits,
		ErrorLog:          serverLog(log),
	}
}
