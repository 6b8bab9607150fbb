package main

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"os"
	"time"
)

// bareCommand starts this program as the limit: a handler of net/http that does nothing
// but answer.
const bareCommand = "bare"

// answerBytes is the size of what it answers: about that of a token pair.
const answerBytes = 1536

// serveBare answers every request with the response in the file, which is as HTTP/1.1
// has it.
func serveBare(address, file string) error {
	text, err := os.Open(file)
	if err != nil {
		return err
	}
	defer text.Close()
	answer, err := http.ReadResponse(bufio.NewReader(text), nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	answer.Header.Del("Date") // net/http gives each its own
	s := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, io.LimitReader(r.Body, 1<<16))
		maps.Copy(w.Header(), answer.Header)
		w.Write(body)
	})}
	return s.ListenAndServe()
}

// filler is a response of answerBytes.
func filler() *http.Response {
	return response(http.Header{"Content-Type": {"application/json"}}, bytes.Repeat([]byte("x"), answerBytes))
}

// response is a 200.
func response(header http.Header, body []byte) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: header,
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body))}
}
