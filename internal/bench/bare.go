package main

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// bareCommand starts this program as the limit: a handler of net/http that does nothing
// but answer.
const bareCommand = "bare"

// answerBytes is the size of what it answers: about that of a token pair.
const answerBytes = 1536

// serveBare answers every request with the bytes of the file.
func serveBare(address, file string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	length := strconv.Itoa(len(body))
	s := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, io.LimitReader(r.Body, 1<<16))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", length)
		w.Write(body)
	})}
	return s.ListenAndServe()
}
