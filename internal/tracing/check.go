package tracing

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Limits of what the SDK would take: a queue is allocated as a whole.
const (
	maxQueue        = 1 << 16     // spans
	maxMilliseconds = 3600 * 1000 // an hour
)

// A check says what is wrong with a value. It does not repeat the value: that may be a
// credential.
type check func(value string) error

var exporterChecks = []struct {
	name string
	check
}{
	{"PROTOCOL", oneOf(protocolProtobuf, protocolGRPC, protocolJSON)},
	{"HEADERS", pairs(checkHeader)},
	{"TIMEOUT", integer("milliseconds", maxMilliseconds)},
	{"COMPRESSION", oneOf("gzip", "none")},
	{"CERTIFICATE", checkCertificates},
}

var checks = []struct {
	name string
	check
}{
	{"OTEL_RESOURCE_ATTRIBUTES", pairs(checkAttribute)},
	{"OTEL_TRACES_SAMPLER", oneOf("always_on", "always_off", "traceidratio",
		"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")},
	{"OTEL_TRACES_SAMPLER_ARG", checkRatio},
	{"OTEL_BSP_SCHEDULE_DELAY", integer("milliseconds", maxMilliseconds)},
	{"OTEL_BSP_EXPORT_TIMEOUT", integer("milliseconds", maxMilliseconds)},
	{"OTEL_BSP_MAX_QUEUE_SIZE", integer("spans", maxQueue)},
	{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", integer("spans", maxQueue)},
}

// faults are those of all variables but the endpoint. Both kinds of variables for the
// exporter are looked at: the SDK reads both.
func (e environment) faults() []error {
	var faults []error
	look := func(name string, check check) {
		if value := e[name]; value != "" {
			if err := check(value); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	for _, kind := range []string{"OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"} {
		for _, c := range exporterChecks {
			look(kind+c.name, c.check)
		}
		look(kind+"CLIENT_CERTIFICATE", func(file string) error { return checkClient(file, e[kind+"CLIENT_KEY"]) })
		if e[kind+"CLIENT_CERTIFICATE"] == "" {
			look(kind+"CLIENT_KEY", func(string) error { return errors.New("there is no certificate for it in CLIENT_CERTIFICATE") })
		}
	}
	for _, c := range checks {
		look(c.name, c.check)
	}
	return faults
}

func oneOf(values ...string) check {
	return func(value string) error {
		if !slices.Contains(values, value) {
			return fmt.Errorf("it is one of %s", strings.Join(values, ", "))
		}
		return nil
	}
}

func integer(unit string, most int) check {
	return func(value string) error {
		if n, err := strconv.Atoi(value); err != nil || n < 1 || n > most {
			return fmt.Errorf("it is a number of %s, 1 to %d", unit, most)
		}
		return nil
	}
}

func checkRatio(value string) error {
	if ratio, err := strconv.ParseFloat(value, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
		return errors.New("it is a share of traces, 0 to 1")
	}
	return nil
}

// pairs checks a list like name=value,name=value, with values percent-encoded.
func pairs(check func(name, value string) bool) check {
	return func(list string) error {
		for i, entry := range strings.Split(list, ",") {
			name, value, ok := strings.Cut(entry, "=")
			value, err := url.PathUnescape(value)
			if !ok || err != nil || !check(strings.TrimSpace(name), strings.TrimSpace(value)) {
				return fmt.Errorf("its entry %d is not like name=value, with a percent-encoded value", i+1)
			}
		}
		return nil
	}
}

func checkHeader(name, value string) bool {
	return httpguts.ValidHeaderFieldName(name) && httpguts.ValidHeaderFieldValue(value)
}

func checkAttribute(name, _ string) bool { return name != "" }

func checkCertificates(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return nil
}

func checkClient(certificate, key string) error {
	if key == "" {
		return errors.New("there is no private key for it in CLIENT_KEY")
	}
	_, err := tls.LoadX509KeyPair(certificate, key)
	return err
}

// redactor hides the values of the headers.
func (e environment) redactor() *strings.Replacer {
	var hide []string
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		for entry := range strings.SplitSeq(e[name], ",") {
			_, value, _ := strings.Cut(entry, "=")
			if plain, err := url.PathUnescape(value); err == nil && strings.TrimSpace(plain) != "" {
				hide = append(hide, strings.TrimSpace(plain), "[hidden]")
			}
		}
	}
	return strings.NewReplacer(hide...)
}
