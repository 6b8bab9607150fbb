package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const (
	alertRules = "../../configs/prometheus/signet-alerts.yaml"
	alertTests = "../../configs/prometheus/signet-alerts-test.yaml"
	scrapeJob  = "../../configs/prometheus/prometheus.yml"
	dashboard  = "../../configs/grafana/signet.json"
)

// elsewhere are metrics that the rules name and a server does not always have.
var elsewhere = map[string]string{
	"up": "made by Prometheus",
	"signet_tls_certificate_not_after_timestamp_seconds": "there where signet has a certificate: TestTLS",
	"signet_tls_certificate_lifetime_seconds":            "there where signet has a certificate: TestTLS",
	"signet_keys_read_age_seconds":                       "of PostgreSQL: TestReplicas",
	"signet_store_connections":                           "of PostgreSQL: TestReplicas",
	"signet_store_connections_limit":                     "of PostgreSQL: TestReplicas",
	"signet_store_connection_waits_total":                "of PostgreSQL: TestReplicas",
	"signet_store_connection_wait_seconds_total":         "of PostgreSQL: TestReplicas",
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// expectDocumented: docs/metrics.md lists each of signet's metrics with its type and
// labels, and no other.
func expectDocumented(t *testing.T, e exposition) {
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\| ([\\w, ]*)\\| .{10,} \\|$").FindAllStringSubmatch(string(read(t, "../../docs/metrics.md")), -1)
	documented := map[string]bool{}
	for _, row := range rows {
		name, labels := row[1], strings.FieldsFunc(row[3], func(r rune) bool { return r == ',' || r == ' ' })
		documented[name] = true
		if _, ok := elsewhere[name]; ok {
			continue
		}
		if e.types[name] != row[2] {
			t.Errorf("docs/metrics.md: %s is a %s, /metrics says %q", name, row[2], e.types[name])
		}
		slices.Sort(labels)
		if have := labelsOf(e, name); !slices.Equal(labels, have) {
			t.Errorf("docs/metrics.md: %s has the labels %v, /metrics says %v", name, labels, have)
		}
	}
	for name := range e.types {
		if strings.HasPrefix(name, "signet_") && !documented[name] {
			t.Errorf("docs/metrics.md has no row for %s", name)
		}
	}
	if len(documented) < 20 {
		t.Errorf("%d rows found", len(documented))
	}
}

var label = regexp.MustCompile(`([a-zA-Z_]\w*)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"`)

// labelsOf are the labels of the series of a metric, without le of a histogram.
func labelsOf(e exposition, metric string) []string {
	found := map[string]bool{}
	for series := range e.series {
		if name, labels, _ := strings.Cut(series, "{"); name == metric || name == metric+"_bucket" {
			for _, m := range label.FindAllStringSubmatch(labels, -1) {
				found[m[1]] = true
			}
		}
	}
	delete(found, "le")
	return sortedKeys(found)
}

// rule is an alert.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) []rule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(read(t, alertRules), &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("no alerts found")
	}
	return all
}

// expectAlerts: Prometheus takes the rules, they are about metrics that there are, each is
// played, and what they tell a person to type is a command.
func expectAlerts(t *testing.T, e exposition) {
	played := string(read(t, alertTests))
	command := regexp.MustCompile("`signet ([a-z]+) ([a-z]+)")
	commands := 0
	for _, r := range alerts(t) {
		expectExpression(t, e, r.Alert, r.Expr)
		if r.For == "" || !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s lacks for, a severity, a summary or a description: %+v", r.Alert, r)
		}
		if !strings.Contains(played, `{alertname="`+r.Alert+`"}`) {
			t.Errorf("%s never fires in %s", r.Alert, filepath.Base(alertTests))
		}
		for _, m := range command.FindAllStringSubmatch(r.Annotations["description"], -1) {
			commands++
			if out := mustSignet(t, "", m[1], m[2], "--help"); !strings.Contains(out, "signet "+m[1]+" "+m[2]) {
				t.Errorf("%s: there is no %s", r.Alert, m[0])
			}
		}
	}
	if commands == 0 {
		t.Error("no command found in the descriptions")
	}
	for _, args := range [][]string{{"check", "rules", alertRules}, {"test", "rules", alertTests}, {"check", "config", scrapeJob}} {
		if out, err := promtool(t, "", args...); err != nil || !strings.Contains(out, "SUCCESS") {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// panel is one of the dashboard.
type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct{ Expr string }
}

// expectDashboard: each panel says what it shows in which unit, and its expressions are
// PromQL about metrics that there are.
func expectDashboard(t *testing.T, e exposition) {
	var board struct {
		Panels     []panel
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(read(t, dashboard), &board); err != nil {
		t.Fatal(err)
	}
	rules := "groups:\n- name: dashboard\n  rules:\n"
	expressions, ids := 0, map[int]bool{}
	for i, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		for _, other := range board.Panels[:i] {
			if overlap(p, other) {
				t.Errorf("%s lies over %s", p.Title, other.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q lacks a title, a description, a unit or an expression", p.ID, p.Title)
		}
		for _, target := range p.Targets {
			expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")
			expectExpression(t, e, p.Title, expr)
			rules += fmt.Sprintf("  - record: panel%d:%d\n    expr: %q\n", p.ID, expressions, expr)
			expressions++
		}
	}
	for _, v := range board.Templating.List {
		if m := regexp.MustCompile(`^label_values\((.*), \w+\)$`).FindStringSubmatch(v.Definition); m != nil {
			expectExpression(t, e, "variable "+v.Name, m[1])
		}
	}
	if expressions < 20 {
		t.Errorf("%d expressions found", expressions)
	}
	for _, r := range alerts(t) {
		for _, name := range regexp.MustCompile(`signet_\w+`).FindAllString(r.Expr, -1) {
			if !strings.Contains(rules, name) && !slices.Contains(settingGauges, name) {
				t.Errorf("%s is about %s, which no panel shows", r.Alert, name)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, "", "check", "rules", file); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// settingGauges are metrics that only say what is configured.
var settingGauges = []string{"signet_keys_rotate_every_seconds", "signet_keys_publish_ahead_seconds"}

func overlap(a, b panel) bool {
	p, q := a.GridPos, b.GridPos
	return p.X < q.X+q.W && q.X < p.X+p.W && p.Y < q.Y+q.H && q.Y < p.Y+p.H
}

var (
	selector = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}`)
	// notMetrics are the parts of an expression in which names are of something else.
	notMetrics = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]|"[^"]*"|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	identifier = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
)

// expectExpression: every name in an expression is a metric of the output, with the labels
// and values that it is selected by. What reads neither as a function nor as a keyword is
// taken for a metric.
func expectExpression(t *testing.T, e exposition, where, expr string) {
	t.Helper()
	metrics := 0
	for _, name := range identifier.FindAllString(notMetrics.ReplaceAllString(expr, " "), -1) {
		if strings.HasSuffix(name, "(") || slices.Contains([]string{"and", "or", "unless", "bool"}, strings.TrimSpace(name)) {
			continue
		}
		metrics++
		name = strings.TrimSpace(name)
		if elsewhere[name] == "" && len(matching(e, "^"+name+`(\{|$)`)) == 0 {
			t.Errorf("%s: %s is not in the output", where, name)
		}
	}
	if metrics == 0 {
		t.Errorf("%s: no metric found in %s", where, expr)
	}
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		for _, by := range label.FindAllStringSubmatch(m[2], -1) {
			expectLabel(t, e, where, m[1], by)
		}
	}
}

// expectLabel: the label is there, and where it is selected by name so is the value. The
// job and the instance are Prometheus's, and not every status code has occurred.
func expectLabel(t *testing.T, e exposition, where, metric string, by []string) {
	t.Helper()
	name, operator, value := by[1], by[2], by[3]
	if name == "job" || name == "instance" || elsewhere[metric] != "" {
		return
	}
	pattern := "[^\"]*"
	if operator == "=" && name != "code" && name != "route" {
		pattern = regexp.QuoteMeta(value)
	}
	values := []string{pattern}
	if operator == "=~" && name != "code" {
		values = strings.Split(value, "|")
	}
	for _, v := range values {
		if len(matching(e, "^"+metric+`\{.*\b`+name+`="`+v+`"`)) == 0 {
			t.Errorf("%s: %s has no %s=%q", where, metric, name, v)
		}
	}
}
