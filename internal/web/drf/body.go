package drf

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"signet/internal/web/problem"
)

// parse reads the body, in any of the three media types, as fields.
func parse(w http.ResponseWriter, r *http.Request) (values, error) {
	body, err := problem.ReadBody(w, r)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return nil, nil // whatever its type: no fields
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, problem.New(http.StatusUnsupportedMediaType, // RFC 9110 §15.5.16
			fmt.Sprintf("Unsupported content encoding %q in request; send the body as it is.", shorten(coding)))
	}
	return parseAs(r.Header.Get("Content-Type"), body)
}

func parseAs(contentType string, body []byte) (values, error) {
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return nil, unsupported(contentType)
	}
	if charset := strings.ToLower(params["charset"]); charset != "" && charset != "utf-8" && charset != "utf8" && charset != "us-ascii" {
		return nil, problem.New(http.StatusUnsupportedMediaType,
			fmt.Sprintf("Unsupported charset %q in request; send UTF-8.", shorten(charset)))
	}
	switch mediaType {
	case "application/json":
		return parseJSON(body)
	case "application/x-www-form-urlencoded":
		return parseForm(string(body))
	case "multipart/form-data":
		return parseMultipart(body, params["boundary"])
	default:
		return nil, unsupported(contentType)
	}
}

func unsupported(contentType string) error {
	return problem.New(http.StatusUnsupportedMediaType,
		fmt.Sprintf("Unsupported media type \"%s\" in request.", shorten(contentType)))
}

// shorten bounds what of a stranger's header is sent back.
func shorten(text string) string { return fmt.Sprintf("%.100s", text) }
