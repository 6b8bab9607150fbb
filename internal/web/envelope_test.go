package web

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"signet/internal/web/problem"
)

// serve puts handler in an envelope and returns what a client and the log see.
func serve(t *testing.T, handler http.HandlerFunc) (resp *http.Response, log func() string, err error) {
	t.Helper()
	var text bytes.Buffer
	server := httptest.NewServer(&envelope{next: handler, log: slog.New(slog.NewTextHandler(&text, nil))})
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	t.Cleanup(server.Close)
	resp, err = http.Get(server.URL)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return resp, func() string { server.Close(); return text.String() }, err
}

func TestPanicWithinAnAnswer(t *testing.T) {
	_, log, err := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("half"))
		http.NewResponseController(w).Flush()
		panic("lost the rest")
	})
	if err == nil {
		t.Error("half an answer looks like a whole one")
	}
	if text := log(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "lost the rest") {
		t.Errorf("log: %s", text)
	}
}

func TestPanicAfterHeaders(t *testing.T) {
	resp, _, err := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		panic("nothing sent yet")
	})
	if err != nil || resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("%v %v", resp, err)
	}
}

func TestAbort(t *testing.T) {
	_, log, err := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if err == nil {
		t.Error("an aborted request was answered")
	}
	if text := log(); text != "" {
		t.Errorf("log: %s", text)
	}
}

// A client that goes away is no failure of the server.
func TestGoneClientIsNoError(t *testing.T) {
	_, log, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		new(problem.Renderer).Error(w, r, context.Canceled)
	})
	if text := log(); text != "" {
		t.Errorf("log: %s", text)
	}
}

// TestServedHearsOfPanics: an answer that never was, or was cut off, is a server's error.
func TestServedHearsOfPanics(t *testing.T) {
	for what, handler := range map[string]http.HandlerFunc{
		"before the answer": func(http.ResponseWriter, *http.Request) { panic("lost") },
		"within the answer": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("half")); panic("lost") },
	} {
		told := 0
		e := &envelope{next: handler, log: slog.New(slog.DiscardHandler), served: func(s Served) { told = s.Status }}
		func() {
			defer func() { recover() }()
			e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}()
		if told != http.StatusInternalServerError {
			t.Errorf("%s: told of %d", what, told)
		}
	}
}
