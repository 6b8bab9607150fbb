package tracing

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// Settings say where traces go. Nil is nowhere.
type Settings struct {
	endpoint string // whole, with path
	protocol string
	// redact takes the values of OTEL_EXPORTER_OTLP_HEADERS, which are credentials, out of
	// what collectors say.
	redact *strings.Replacer
}

// Protocols of OTLP (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
const (
	protocolGRPC     = "grpc"
	protocolProtobuf = "http/protobuf"
	protocolJSON     = "http/json"
)

// environment are the variables that begin with OTEL_ and are not empty.
type environment map[string]string

func environmentOf(entries []string) environment {
	e := environment{}
	for _, entry := range entries {
		key, value, _ := strings.Cut(entry, "=")
		if value = strings.TrimSpace(value); strings.HasPrefix(key, "OTEL_") && value != "" {
			e[key] = value
		}
	}
	return e
}

// exporter returns a setting of the exporter and the name of its variable: that for
// traces alone comes before that for all signals.
func (e environment) exporter(name string) (key, value string) {
	if key = "OTEL_EXPORTER_OTLP_TRACES_" + name; e[key] != "" {
		return key, e[key]
	}
	key = "OTEL_EXPORTER_OTLP_" + name
	return key, e[key]
}

// Read returns the settings of an environment; nil if it asks for no traces, and then
// the other variables do not matter. The SDK passes over a value that it does not
// understand; here that is an error, which names every such variable.
func Read(entries []string) (*Settings, error) {
	e := environmentOf(entries)
	wanted, err := e.wantsTraces()
	if err != nil || !wanted {
		return nil, err
	}
	s := &Settings{redact: e.redactor()}
	_, s.protocol = e.exporter("PROTOCOL")
	if s.protocol == "" {
		s.protocol = protocolProtobuf
	}
	endpoint, err := e.endpoint(s.protocol)
	if faults := append(e.faults(), err); errors.Join(faults...) != nil {
		return nil, oneLine(faults)
	}
	s.endpoint = endpoint.String()
	return s, nil
}

func (e environment) wantsTraces() (bool, error) {
	if _, endpoint := e.exporter("ENDPOINT"); endpoint == "" || strings.EqualFold(e["OTEL_SDK_DISABLED"], "true") {
		return false, nil
	}
	switch e["OTEL_TRACES_EXPORTER"] {
	case "", "otlp":
		return true, nil
	case "none":
		return false, nil
	}
	return false, errors.New("OTEL_TRACES_EXPORTER: it is otlp or none")
}

// endpoint is where spans are posted. Its scheme alone decides whether TLS is spoken.
func (e environment) endpoint(protocol string) (*url.URL, error) {
	key, value := e.exporter("ENDPOINT")
	u, err := url.Parse(value) // err quotes the value, which may hold a password
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("%s: it is not a URL such as http://127.0.0.1:4318", key)
	case u.User != nil:
		return nil, fmt.Errorf("%s: it holds a user or a password, which would not be sent; OTEL_EXPORTER_OTLP_HEADERS is for credentials", key)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%s: it has a query or a fragment, which would not be sent", key)
	case protocol == protocolGRPC && u.Path != "" && u.Path != "/":
		return nil, fmt.Errorf("%s: it has a path, which gRPC does not send", key)
	case u.Scheme == "http" && e.hasCertificates():
		return nil, fmt.Errorf("%s: it is http, and certificates are set; write https", key)
	}
	if protocol != protocolGRPC && key == "OTEL_EXPORTER_OTLP_ENDPOINT" {
		u.Path, u.RawPath = path.Join("/", u.Path, "v1/traces"), "" // the base of all signals
	}
	return u, nil
}

func (e environment) hasCertificates() bool {
	_, ca := e.exporter("CERTIFICATE")
	_, client := e.exporter("CLIENT_CERTIFICATE")
	return ca != "" || client != ""
}

// oneLine puts all faults into one sentence.
func oneLine(faults []error) error {
	var texts []string
	for _, err := range faults {
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	return errors.New(strings.Join(texts, "; "))
}
