package tracing

import (
	"strings"
	"testing"
)

// TestRead: a variable that cannot be understood is an error, which names it and does
// not repeat what may be a credential.
func TestRead(t *testing.T) {
	const base = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"
	for _, tt := range []struct {
		name  string
		env   string // separated by spaces
		where string // whole endpoint; empty is no traces
		fault string
	}{
		{name: "nothing"},
		{name: "no endpoint", env: "OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER=nonsense"},
		{name: "disabled", env: base + " OTEL_SDK_DISABLED=TRUE OTEL_TRACES_SAMPLER=nonsense"},
		{name: "no exporter", env: base + " OTEL_TRACES_EXPORTER=none"},
		{name: "base", env: base, where: "http://127.0.0.1:4318/v1/traces"},
		{name: "base with a path", env: "OTEL_EXPORTER_OTLP_ENDPOINT=https://otel.example.com/otlp/", where: "https://otel.example.com/otlp/v1/traces"},
		{name: "of traces", env: base + " OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://otel.example.com/in", where: "https://otel.example.com/in"},
		{name: "gRPC", env: base + " OTEL_EXPORTER_OTLP_PROTOCOL=grpc", where: "http://127.0.0.1:4318"},
		{name: "protocol of traces", env: base + "/x OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json", where: "http://127.0.0.1:4318/x/v1/traces"},
		{name: "good values", env: base + " OTEL_EXPORTER_OTLP_HEADERS=a=%20b,c=d OTEL_EXPORTER_OTLP_TIMEOUT=1 OTEL_EXPORTER_OTLP_COMPRESSION=gzip" +
			" OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=0.25 OTEL_RESOURCE_ATTRIBUTES=a=b", where: "http://127.0.0.1:4318/v1/traces"},

		{name: "another exporter", env: base + " OTEL_TRACES_EXPORTER=zipkin", fault: "OTEL_TRACES_EXPORTER: it is otlp or none"},
		{name: "no URL", env: "OTEL_EXPORTER_OTLP_ENDPOINT=http://s3cr3t%zz@a", fault: "OTEL_EXPORTER_OTLP_ENDPOINT: it is not a URL"},
		{name: "no scheme", env: "OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4318", fault: "OTEL_EXPORTER_OTLP_ENDPOINT: it is not a URL"},
		{name: "no host", env: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http:///v1", fault: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: it is not a URL"},
		{name: "user", env: "OTEL_EXPORTER_OTLP_ENDPOINT=https://a:s3cr3t@b", fault: "ENDPOINT: it holds a user or a password"},
		{name: "query", env: "OTEL_EXPORTER_OTLP_ENDPOINT=https://a/?key=s3cr3t", fault: "ENDPOINT: it has a query"},
		{name: "path with gRPC", env: base + "/v1/traces OTEL_EXPORTER_OTLP_PROTOCOL=grpc", fault: "ENDPOINT: it has a path"},
		{name: "certificate without TLS", env: base + " OTEL_EXPORTER_OTLP_CERTIFICATE=ca.pem", fault: "ENDPOINT: it is http, and certificates are set"},
		{name: "protocol", env: base + " OTEL_EXPORTER_OTLP_PROTOCOL=http", fault: "OTEL_EXPORTER_OTLP_PROTOCOL: it is one of http/protobuf, grpc, http/json"},
		{name: "header", env: base + " OTEL_EXPORTER_OTLP_HEADERS=a=b,s3cr3t", fault: "OTEL_EXPORTER_OTLP_HEADERS: its entry 2 is not like name=value"},
		{name: "header of two lines", env: base + " OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=s3cr3t%0d%0ab", fault: "OTEL_EXPORTER_OTLP_TRACES_HEADERS: its entry 1"},
		{name: "timeout", env: base + " OTEL_EXPORTER_OTLP_TIMEOUT=10s", fault: "OTEL_EXPORTER_OTLP_TIMEOUT: it is a number of milliseconds, 1 to"},
		{name: "compression", env: base + " OTEL_EXPORTER_OTLP_COMPRESSION=zstd", fault: "OTEL_EXPORTER_OTLP_COMPRESSION: it is one of gzip, none"},
		{name: "missing certificate", env: "OTEL_EXPORTER_OTLP_ENDPOINT=https://a OTEL_EXPORTER_OTLP_CERTIFICATE=missing.pem", fault: "OTEL_EXPORTER_OTLP_CERTIFICATE: open missing.pem"},
		{name: "no certificate", env: "OTEL_EXPORTER_OTLP_ENDPOINT=https://a OTEL_EXPORTER_OTLP_CERTIFICATE=read_test.go", fault: "read_test.go holds no certificate"},
		{name: "certificate without a key", env: "OTEL_EXPORTER_OTLP_ENDPOINT=https://a OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=a.pem", fault: "CLIENT_CERTIFICATE: there is no private key"},
		{name: "key without a certificate", env: base + " OTEL_EXPORTER_OTLP_CLIENT_KEY=a.pem", fault: "OTEL_EXPORTER_OTLP_CLIENT_KEY: there is no certificate"},
		{name: "sampler", env: base + " OTEL_TRACES_SAMPLER=jaeger_remote", fault: "OTEL_TRACES_SAMPLER: it is one of always_on"},
		{name: "ratio", env: base + " OTEL_TRACES_SAMPLER_ARG=NaN", fault: "OTEL_TRACES_SAMPLER_ARG: it is a share of traces, 0 to 1"},
		{name: "resource", env: base + " OTEL_RESOURCE_ATTRIBUTES=a=b,=c", fault: "OTEL_RESOURCE_ATTRIBUTES: its entry 2"},
		{name: "queue without end", env: base + " OTEL_BSP_MAX_QUEUE_SIZE=1000000000000", fault: "OTEL_BSP_MAX_QUEUE_SIZE: it is a number of spans, 1 to 65536"},
		{name: "several", env: "OTEL_EXPORTER_OTLP_ENDPOINT=a OTEL_TRACES_SAMPLER_ARG=2", fault: "OTEL_TRACES_SAMPLER_ARG: it is a share of traces, 0 to 1; OTEL_EXPORTER_OTLP_ENDPOINT: it is not a URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Read(strings.Fields(tt.env))
			switch {
			case tt.fault != "":
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Fatalf("the error is %v, want %q", err, tt.fault)
				}
				if strings.Contains(err.Error(), "s3cr3t") {
					t.Errorf("the error repeats a credential: %v", err)
				}
			case err != nil:
				t.Fatal(err)
			case tt.where == "" && s != nil, tt.where != "" && (s == nil || s.endpoint != tt.where):
				t.Errorf("traces go to %+v, want %q", s, tt.where)
			}
		})
	}
}
