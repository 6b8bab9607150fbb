package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// collector is an OTLP collector that keeps what it gets.
type collector struct {
	collectorpb.UnimplementedTraceServiceServer
	mu     sync.Mutex
	raw    bytes.Buffer
	spans  []*tracepb.Span
	about  string // the resource of the last export
	header http.Header
}

func (c *collector) take(request *collectorpb.ExportTraceServiceRequest, raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(raw)
	for _, resource := range request.ResourceSpans {
		c.about = attributes(resource.Resource.Attributes)
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collectorpb.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, fmt.Sprint(r.URL.Path, err), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.header = r.Header
	c.mu.Unlock()
	c.take(&request, body)
}

// Export is OTLP by gRPC.
func (c *collector) Export(_ context.Context, request *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	raw, err := proto.Marshal(request)
	c.take(request, raw)
	return &collectorpb.ExportTraceServiceResponse{}, err
}

// attributes are written as name=value, one a line.
func attributes(list []*commonpb.KeyValue) string {
	var text strings.Builder
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_IntValue:
			fmt.Fprintf(&text, "%s=%d\n", a.Key, v.IntValue)
		default:
			fmt.Fprintf(&text, "%s=%s\n", a.Key, a.Value.GetStringValue())
		}
	}
	return text.String()
}

func (c *collector) all() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// request waits for the span of a request and returns it with its children, by name.
func (c *collector) request(t *testing.T, id string) (span *tracepb.Span, children map[string]*tracepb.Span) {
	t.Helper()
	err := waitFor(15*time.Second, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.IndexFunc(c.spans, func(s *tracepb.Span) bool {
			return strings.Contains(attributes(s.Attributes), "request_id="+id+"\n")
		})
		if i < 0 {
			return fmt.Errorf("no span of request %s", id)
		}
		span, children = c.spans[i], map[string]*tracepb.Span{}
		for _, s := range c.spans { // children end before their parent
			if bytes.Equal(s.TraceId, span.TraceId) && s != span {
				children[s.Name] = s
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return span, children
}

// collect starts a collector and returns the variables that lead to it.
func collect(t *testing.T) (*collector, []string) {
	t.Helper()
	c := &collector{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return c, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + server.URL, "OTEL_BSP_SCHEDULE_DELAY=20"}
}

// traced starts the real binary with the variables, and an account.
func traced(t *testing.T, env ...string) *process {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p := serveBinary(t, dir, addr, append(env, "SIGNET_LOG_LEVEL=debug")...)
	mustSignet(t, "correct horse battery\n", "users", "add", "kyoko", "--password-stdin", "--data", dir)
	return p
}

// askTraced sends a request and returns its id and its answer.
func askTraced(t *testing.T, method, address string, form url.Values, header ...string) (id string, status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "agent-of-kyoko")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Get("X-Request-Id"), resp.StatusCode, string(text)
}

var kyokosLogin = url.Values{"username": {"kyoko"}, "password": {"correct horse battery"}}

// within fails unless the children are those, each a child of the parent that is named
// after the slash, or of the request.
func within(t *testing.T, request *tracepb.Span, children map[string]*tracepb.Span, want ...string) {
	t.Helper()
	if len(children) != len(want) {
		t.Errorf("%s has %d spans within, want %q: %v", request.Name, len(children), want, children)
	}
	for _, path := range want {
		name, above, nested := strings.Cut(path, " in ")
		child, parent := children[name], request
		if nested {
			parent = children[above]
		}
		switch {
		case child == nil || parent == nil:
			t.Errorf("%s has no span %q within", request.Name, path)
		case !bytes.Equal(child.ParentSpanId, parent.SpanId):
			t.Errorf("%s: %q is not a child of %q", request.Name, name, parent.Name)
		case child.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET:
			t.Errorf("%s: %q has status %v", request.Name, name, child.Status)
		}
	}
}

// says fails unless the span has the name and exactly the attributes, sorted.
func says(t *testing.T, span *tracepb.Span, name string, want ...string) {
	t.Helper()
	got := strings.Split(strings.TrimSpace(attributes(span.Attributes)), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if span.Name != name || !slices.Equal(got, want) {
		t.Errorf("span %q says %q\nwant %q %q", span.Name, got, name, want)
	}
}

// TestTraces: what a collector gets of requests to the real binary, and what it never
// gets.
func TestTraces(t *testing.T) {
	c, env := collect(t)
	p := traced(t, append(env, "OTEL_EXPORTER_OTLP_HEADERS=x-api-key=a%20secret", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test")...)
	host, port, _ := net.SplitHostPort(strings.TrimPrefix(p.base, "http://"))
	common := func(method, id, status string, more ...string) []string {
		return append(more, "http.request.method="+method, "request_id="+id, "http.response.status_code="+status,
			"url.scheme=http", "server.address="+host, "server.port="+port)
	}

	in, _, pair := askTraced(t, "POST", p.base+"/api/token/", kyokosLogin)
	span, children := c.request(t, in)
	says(t, span, "POST /api/token/", common("POST", in, "200", "http.route=/api/token/")...)
	within(t, span, children, "check password", "store UserByName in check password", "store CreateSession")
	if len(span.ParentSpanId) != 0 || len(span.Links) != 0 || span.Kind != tracepb.Span_SPAN_KIND_SERVER {
		t.Errorf("the login is no root of its own: %v", span)
	}
	trace := "trace_id=" + hex.EncodeToString(span.TraceId)
	for _, line := range []string{`msg=request request_id=` + in + `.*` + trace, `msg=login sub=.*` + trace} {
		if log := p.waitLog(t, in); !regexp.MustCompile(line).MatchString(log) {
			t.Errorf("the log has no line %s:\n%s", line, log)
		}
	}

	tokens := regexp.MustCompile(`eyJ[\w.-]+`).FindAllString(pair, 2)
	if len(tokens) != 2 {
		t.Fatalf("the login answers %s", pair)
	}
	again, _, _ := askTraced(t, "POST", p.base+"/api/token/refresh/", url.Values{"refresh": {tokens[0]}})
	span, children = c.request(t, again)
	says(t, span, "POST /api/token/refresh/", common("POST", again, "200", "http.route=/api/token/refresh/")...)
	within(t, span, children, "store UserByID", "store AdvanceSession")

	verify, _, _ := askTraced(t, "POST", p.base+"/api/token/verify/", url.Values{"token": {tokens[1]}})
	span, children = c.request(t, verify)
	says(t, span, "POST /api/token/verify/", common("POST", verify, "200", "http.route=/api/token/verify/")...)
	within(t, span, children, "store UserByID", "store Session")

	wrong, _, _ := askTraced(t, "POST", p.base+"/api/token/", url.Values{"username": {"kyoko"}, "password": {"wrong horse battery"}})
	span, children = c.request(t, wrong)
	says(t, span, "POST /api/token/", common("POST", wrong, "401", "http.route=/api/token/")...)
	within(t, span, children, "check password", "store UserByName in check password")

	missing, _, _ := askTraced(t, "GET", p.base+"/kyoko/"+tokens[0]+"?access_token="+tokens[1], nil)
	span, children = c.request(t, missing)
	says(t, span, "GET", common("GET", missing, "404")...)
	within(t, span, children)

	strange, _, _ := askTraced(t, "KYOKO", p.base+"/", nil)
	span, _ = c.request(t, strange)
	says(t, span, "HTTP", common("_OTHER", strange, "405")...)

	grant, _, _ := askTraced(t, "POST", p.base+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"kyoko"}, "client_secret": {"x"}})
	span, children = c.request(t, grant)
	within(t, span, children, "store Client")
	if span.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET {
		t.Errorf("a refused client is an error of the server: %v", span.Status)
	}

	for _, path := range []string{"/.well-known/jwks.json", "/healthz", "/readyz"} {
		askTraced(t, "GET", p.base+path, nil)
	}
	last, _, _ := askTraced(t, "GET", p.base+"/", nil)
	c.request(t, last)
	c.mu.Lock()
	defer c.mu.Unlock()
	roots := 0
	for _, s := range c.spans {
		if len(s.ParentSpanId) == 0 {
			roots++
		}
	}
	if roots != 8 {
		t.Errorf("%d requests have a span, want the 8 that were asked for, without probes and key sets", roots)
	}
	for _, want := range []string{"service.name=signet\n", "deployment.environment.name=test\n", "service.version="} {
		if !strings.Contains(c.about, want) {
			t.Errorf("the resource does not say %q:\n%s", want, c.about)
		}
	}
	if got := c.header.Get("X-Api-Key"); got != "a secret" {
		t.Errorf("the collector got the header %q", got)
	}
	for _, secret := range []string{"kyoko", "horse", "eyJ", "agent-of", "access_token", "KYOKO"} {
		if bytes.Contains(c.raw.Bytes(), []byte(secret)) {
			t.Errorf("the collector was told %q", secret)
		}
	}
	for _, field := range []string{"sub", "sid"} {
		value := regexp.MustCompile(`msg=login .*` + field + `=(\w{20,})`).FindStringSubmatch(p.stderr.String())
		if value == nil || bytes.Contains(c.raw.Bytes(), []byte(value[1])) {
			t.Errorf("the collector was told the %s %q", field, value)
		}
	}
}

// A traceparent of W3C Trace Context, sampled or not.
const (
	foreignTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	foreignSpan  = "00f067aa0ba902b7"
	sampled      = "00-" + foreignTrace + "-" + foreignSpan + "-01"
	unsampled    = "00-" + foreignTrace + "-" + foreignSpan + "-00"
)

// TestForeignTraces: a stranger neither joins traces, nor hides from them, nor has them
// made.
func TestForeignTraces(t *testing.T) {
	c, env := collect(t)
	// A trusted proxy that was not said to write traceparent passes on that of a stranger.
	for _, proxies := range []string{"", "127.0.0.1"} {
		p := traced(t, append(env, "SIGNET_PROXIES_TRUSTED="+proxies)...)
		for _, parent := range []string{sampled, unsampled} {
			id, _, _ := askTraced(t, "GET", p.base+"/", nil, "Traceparent", parent, "Tracestate", "kyoko=eyJ")
			span, _ := c.request(t, id)
			if hex.EncodeToString(span.TraceId) == foreignTrace || len(span.ParentSpanId) != 0 {
				t.Errorf("proxies %q: %s is the parent of %v", proxies, parent, span)
			}
			if len(span.Links) != 1 || hex.EncodeToString(span.Links[0].TraceId) != foreignTrace ||
				hex.EncodeToString(span.Links[0].SpanId) != foreignSpan {
				t.Errorf("proxies %q: %s is not the link: %v", proxies, parent, span.Links)
			}
		}
	}
	two, env := collect(t)
	p := traced(t, append(env, "OTEL_TRACES_SAMPLER=parentbased_always_off")...)
	askTraced(t, "GET", p.base+"/", nil, "Traceparent", sampled)
	stopped(t, p) // which sends what there is
	if got := two.all(); len(got) != 0 {
		t.Errorf("a stranger had traces made: %v", got)
	}
	if log := p.stderr.String(); strings.Contains(log, "trace_id") {
		t.Errorf("the log names a trace that is not sent:\n%s", log)
	}
}

// TestTracesOfAProxy: a proxy that writes traceparent is the parent, and decides.
func TestTracesOfAProxy(t *testing.T) {
	c, env := collect(t)
	p := traced(t, append(env, "SIGNET_PROXIES_TRUSTED=127.0.0.1", "SIGNET_PROXIES_TRACEPARENT=true", "OTEL_TRACES_SAMPLER=parentbased_always_off")...)
	id, _, _ := askTraced(t, "GET", p.base+"/", nil, "Traceparent", sampled)
	span, _ := c.request(t, id)
	if hex.EncodeToString(span.TraceId) != foreignTrace || hex.EncodeToString(span.ParentSpanId) != foreignSpan || len(span.Links) != 0 {
		t.Errorf("the proxy is not the parent: %v", span)
	}
	askTraced(t, "GET", p.base+"/", nil, "Traceparent", unsampled)
	askTraced(t, "GET", p.base+"/", nil, "Traceparent", sampled, "Traceparent", sampled)
	stopped(t, p)
	if got := c.all(); len(got) != 1 {
		t.Errorf("what the proxy did not sample was sent: %v", got)
	}
}

// stopped asks the process to end, and waits; it returns how long that took.
func stopped(t *testing.T, p *process) time.Duration {
	t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(2 * shutdownGrace):
		t.Fatalf("the server did not end\n%s", p.stderr)
	}
	if p.err != nil {
		t.Errorf("the server ended with %v\n%s", p.err, p.stderr)
	}
	return time.Since(began)
}

// TestLastTracesAreSent: what waits for a batch is sent at the end.
func TestLastTracesAreSent(t *testing.T) {
	c, env := collect(t)
	p := traced(t, append(env, "OTEL_BSP_SCHEDULE_DELAY=600000")...)
	askTraced(t, "GET", p.base+"/", nil)
	if took := stopped(t, p); took > shutdownGrace/2 {
		t.Errorf("the server took %v to end", took)
	}
	if got := c.all(); len(got) != 1 {
		t.Errorf("at the end the collector has %v", got)
	}
}

// TestTracesByTLS: https is TLS with the given certificate, whatever else is set, and
// the other spellings of an endpoint hold.
func TestTracesByTLS(t *testing.T) {
	c := &collector{}
	server := httptest.NewTLSServer(c)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	p := traced(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+server.URL+"/v1/traces", "OTEL_EXPORTER_OTLP_CERTIFICATE="+file,
		"OTEL_EXPORTER_OTLP_INSECURE=true", "OTEL_BSP_SCHEDULE_DELAY=20")
	id, _, _ := askTraced(t, "GET", p.base+"/", nil)
	c.request(t, id)
}

// TestTracesByGRPC: the other protocol of OTLP.
func TestTracesByGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, server := &collector{}, grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(server, c)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	p := traced(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://"+l.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		"OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_SERVICE_NAME=login")
	id, _, _ := askTraced(t, "POST", p.base+"/api/token/", kyokosLogin)
	span, children := c.request(t, id)
	within(t, span, children, "check password", "store UserByName in check password", "store CreateSession")
	c.mu.Lock()
	defer c.mu.Unlock()
	if !strings.Contains(c.about, "service.name=login\n") {
		t.Errorf("the resource says\n%s", c.about)
	}
}

// TestCollectorThatFails: requests go on, the log says it once, and the server ends in
// time.
func TestCollectorThatFails(t *testing.T) {
	nobody, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(release) })
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no room for "+r.Header.Get("X-Api-Key"), http.StatusInternalServerError)
	}))
	t.Cleanup(failing.Close)
	for _, tt := range []struct{ name, endpoint, reason string }{
		{"down", "http://" + nobody, "connection refused"},
		{"hangs", hanging.URL, "timeout"},
		{"answers 500", failing.URL, "no room for [hidden]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := traced(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+tt.endpoint, "OTEL_EXPORTER_OTLP_HEADERS=x-api-key=s3cr3t", "OTEL_EXPORTER_OTLP_TIMEOUT=1000",
				"OTEL_BSP_EXPORT_TIMEOUT=1000", "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_BSP_MAX_QUEUE_SIZE=8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=1")
			began := time.Now()
			const requests = 200 // 200 s, if each waited for the collector
			for range requests {
				if _, status, _ := askTraced(t, "GET", p.base+"/", nil); status != http.StatusOK {
					t.Fatalf("a request was answered with %d", status)
				}
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("%d requests took %v", requests, took)
			}
			const warning = "traces do not reach the collector"
			p.waitLog(t, warning)
			if took := stopped(t, p); took > shutdownGrace {
				t.Errorf("the server took %v to end", took)
			}
			log := p.stderr.String()
			if n := strings.Count(log, warning); n != 1 {
				t.Errorf("the log has the warning %d times", n)
			}
			if !regexp.MustCompile(warning + `.*` + regexp.QuoteMeta(tt.reason)).MatchString(log) {
				t.Errorf("the warning does not say %q:\n%s", tt.reason, log)
			}
			if strings.Contains(log, "s3cr3t") {
				t.Error("the log holds the credentials for the collector")
			}
		})
	}
	t.Run("hangs at the end", func(t *testing.T) {
		p := traced(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+hanging.URL) // which may take half a minute
		askTraced(t, "GET", p.base+"/", nil)
		if took := stopped(t, p); took > shutdownGrace {
			t.Errorf("the server took %v to end", took)
		}
		p.waitLog(t, "the last traces were not sent")
	})
}

// TestNoTracesNoConnection: what does not ask for traces connects to nobody.
func TestNoTracesNoConnection(t *testing.T) {
	const standard = "127.0.0.1:4318" // where OTLP goes if nothing says otherwise
	for _, tt := range []struct{ name, address, variable string }{
		{"nothing set", standard, "OTEL_TRACES_SAMPLER=always_on"},
		{"no exporter", "127.0.0.1:0", "OTEL_TRACES_EXPORTER=none"},
		{"disabled", "127.0.0.1:0", "OTEL_SDK_DISABLED=true"},
		{"asked for", "127.0.0.1:0", "OTEL_TRACES_EXPORTER=otlp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", tt.address)
			if errors.Is(err, syscall.EADDRINUSE) {
				t.Skipf("SKIPPED: %s is in use: %v", tt.address, err)
			}
			if err != nil {
				t.Fatal(err)
			}
			var connections atomic.Int32
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					connections.Add(1)
					conn.Close()
				}
			}()
			defer l.Close()
			env := []string{tt.variable, "OTEL_BSP_SCHEDULE_DELAY=1"}
			if tt.address != standard {
				env = append(env, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+l.Addr().String())
			}
			p := traced(t, env...)
			askTraced(t, "POST", p.base+"/api/token/", kyokosLogin)
			stopped(t, p)
			if got, want := connections.Load() > 0, tt.name == "asked for"; got != want {
				t.Errorf("%d connections", connections.Load())
			}
			if log := p.stderr.String(); strings.Contains(log, "trace_id") != (tt.name == "asked for") {
				t.Errorf("the log:\n%s", log)
			}
		})
	}
}
