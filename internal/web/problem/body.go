package problem

import (
	"io"
	"net/http"
)

// MaxBody is the most that any route reads of a body, in bytes: far more than a name,
// a password or a token takes.
const MaxBody = 64 << 10

// ReadBody reads the body of a request, MaxBody at most. What goes wrong is a
// *BodyError.
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		return nil, &BodyError{Err: err}
	}
	return body, nil
}
