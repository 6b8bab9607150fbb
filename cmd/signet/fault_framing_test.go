package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAmbiguousFraming sends what a proxy in front and a server behind it may cut at
// different places (RFC 9112 §11.2), with a second request hidden in it. It is refused
// and the connection closed: never is the hidden request answered. What is too long is
// refused by its length (431, 413). A line feed alone ends a line, as RFC 9112 §2.2 lets a
// recipient take it.
func TestAmbiguousFraming(t *testing.T) {
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	serveBinary(t, filepath.Join(t.TempDir(), "data"), addr)
	const hidden = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	post := func(header, body string) string {
		return "POST /api/token/ HTTP/1.1\r\nHost: x\r\n" + header + "\r\n" + body
	}
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"both lengths":                     {post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden), 400},
		"both lengths, the other order":    {post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n"+hidden), 400},
		"two lengths that differ":          {post("Content-Length: 0\r\nContent-Length: 35\r\n", hidden), 400},
		"two lengths in one":               {post("Content-Length: 0, 35\r\n", hidden), 400},
		"negative length":                  {post("Content-Length: -1\r\n", hidden), 400},
		"signed length":                    {post("Content-Length: +35\r\n", hidden), 400},
		"hexadecimal length":               {post("Content-Length: 0x23\r\n", hidden), 400},
		"huge length":                      {post("Content-Length: 99999999999999999999\r\n", hidden), 400},
		"unknown coding":                   {post("Transfer-Encoding: xchunked\r\n", hidden), 501},
		"identity coding":                  {post("Transfer-Encoding: identity\r\n", hidden), 501},
		"two codings":                      {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden), 501},
		"chunked, and another":             {post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"+hidden), 501},
		"vertical tab before the coding":   {post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"+hidden), 400},
		"space before the colon":           {post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"+hidden), 400},
		"space before the name":            {post(" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden), 400},
		"no name":                          {post(": x\r\n", hidden), 400},
		"NUL in a header":                  {post("X: a\x00b\r\n", hidden), 400},
		"carriage return alone":            {"POST /api/token/ HTTP/1.1\r\nHost: x\r\nX: a\rContent-Length: 35\r\n\r\n" + hidden, 400},
		"chunk size with a sign":           {post("Transfer-Encoding: chunked\r\n", "+0\r\n\r\n"+hidden), 400},
		"chunk size with a prefix":         {post("Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n"+hidden), 400},
		"chunk size that overflows":        {post("Transfer-Encoding: chunked\r\n", "10000000000000000\r\n"+hidden), 400},
		"chunk without its end":            {post("Transfer-Encoding: chunked\r\n", "1\r\naXX0\r\n\r\n"+hidden), 400},
		"bare line feed in a chunk's size": {post("Transfer-Encoding: chunked\r\n", "1;\nx\r\na\r\n0\r\n\r\n"+hidden), 400},
		"no Host":                          {"GET / HTTP/1.1\r\n\r\n" + hidden, 400},
		"two Hosts":                        {"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + hidden, 400},
		"two spaces in the request line":   {"GET  / HTTP/1.1\r\nHost: x\r\n\r\n" + hidden, 400},
		"no version":                       {"GET /\r\nHost: x\r\n\r\n" + hidden, 400},
		"another version":                  {"GET / HTTP/3.7\r\nHost: x\r\n\r\n" + hidden, 505},
		"long header":                      {"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 40<<10) + "\r\n\r\n" + hidden, 431},
		"many headers":                     {"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: a\r\n", 8<<10) + "\r\n" + hidden, 431},
		"long request line":                {"GET /" + strings.Repeat("a", 40<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n" + hidden, 431},
		"long body":                        {post("Content-Type: application/json\r\nContent-Length: 1000000\r\n", `"`+strings.Repeat("a", 70<<10)), 413},
		"chunked and good":                 {post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden), 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, rest := exchange(t, addr, c.request)
			if status != c.status || rest != "" {
				t.Errorf("%d, and then %.200q; want %d and the end", status, rest, c.status)
			}
		})
	}
}

// exchange sends raw bytes and returns the status of the answer and what comes after it.
func exchange(t *testing.T, addr, request string) (status int, rest string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(15 * time.Second))
	go io.WriteString(conn, request)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	after, err := io.ReadAll(r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection stays open")
	}
	return resp.StatusCode, string(after)
}
