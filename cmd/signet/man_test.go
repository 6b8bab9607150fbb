package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestManualPages: every command has a page, man renders it without a warning, and it
// says what --help says.
func TestManualPages(t *testing.T) {
	_, err := exec.LookPath("man")
	needs(t, err == nil, "there is man (man-db)")
	dir := filepath.Join(t.TempDir(), "man1")
	mustSignet(t, "", "man", dir)
	pages, examples := 0, 0
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		pages++
		if cmd.HasExample() {
			examples++
		}
		t.Run(pageName(cmd), func(t *testing.T) { checkPage(t, cmd, filepath.Join(dir, pageName(cmd)+".1")) })
		for _, sub := range documented(cmd) {
			check(sub)
		}
	}
	check(newRoot(&terminal{}))
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != pages || pages < 30 || examples == 0 {
		t.Errorf("%d files for %d commands, %d with examples: %v", len(files), pages, examples, err)
	}
}

func checkPage(t *testing.T, cmd *cobra.Command, file string) {
	rendered := render(t, file)
	text := words(rendered)
	for _, want := range slices.Concat(strings.Split(cmd.Long, "\n"), strings.Split(cmd.Example, "\n"), []string{cmd.Short}) {
		if !strings.Contains(text, words(want)) {
			t.Errorf("the page does not say %q", want)
		}
		if strings.HasPrefix(want, "  ") && !strings.Contains(rendered, want+"\n") {
			t.Errorf("the page does not keep the line %q", want)
		}
	}
	cmd.InheritedFlags() // makes Flags hold those too
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(text, " --"+f.Name+" ") {
			t.Errorf("the page lacks --%s", f.Name)
		}
	})
	if strings.Contains(text, " EXAMPLES ") != cmd.HasExample() {
		t.Errorf("EXAMPLES are there: %v, want %v", !cmd.HasExample(), cmd.HasExample())
	}
	for _, title := range []string{"NAME", "SYNOPSIS", "DESCRIPTION"} {
		if !strings.Contains(text, " "+title+" ") {
			t.Errorf("the page has no %s", title)
		}
	}
}

// render is the page as a person reads it; a warning of man is a failure.
func render(t *testing.T, file string) string {
	t.Helper()
	cmd := exec.Command("man", "--warnings", "--encoding=UTF-8", "--local-file", file)
	cmd.Env = append(os.Environ(), "MANWIDTH=200", "LC_ALL=C.UTF-8", "MAN_KEEP_FORMATTING=")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil || errs.String() != "" {
		t.Errorf("man: %v\n%s", err, errs.String())
	}
	return out.String()
}

// words is a text with one space between its words and around them.
func words(text string) string {
	return strings.Join(slices.Concat([]string{""}, strings.Fields(text), []string{""}), " ")
}

// TestManualOfTheProgram: what no command's own text holds is in signet(1).
func TestManualOfTheProgram(t *testing.T) {
	_, err := exec.LookPath("man")
	needs(t, err == nil, "there is man (man-db)")
	dir := t.TempDir()
	mustSignet(t, "", "man", dir)
	text := words(render(t, filepath.Join(dir, "signet.1")))
	for _, want := range []string{"EXIT STATUS 0 It is done.", "ENVIRONMENT", "SIGNET_CONFIG", "OTEL_EXPORTER_OTLP_ENDPOINT Where signet serve sends traces", "FILES", "seal.key", "audit.log The audit log", "acme/ With tls.acme_hosts", "signet-users(1)"} {
		if !strings.Contains(text, want) {
			t.Errorf("signet(1) does not say %q", want)
		}
	}
}

// TestManualIsNoRoff: what means something to roff is text in a page.
func TestManualIsNoRoff(t *testing.T) {
	_, err := exec.LookPath("man")
	needs(t, err == nil, "there is man (man-db)")
	cmd := &cobra.Command{Use: "odd", Short: `a \fBshort\fR one`, Long: `.SH is no heading
'so is no file and \fBnot bold\fR nor \e

  .nf "quoted" --flag $HOME ~user x^2`}
	cmd.Flags().String("dash-es", `\n`, "a `NA-ME`, .PP and\n'tick")
	file := filepath.Join(t.TempDir(), "odd.1")
	if err := os.WriteFile(file, []byte(manPage(cmd, time.Unix(0, 0))), 0o600); err != nil {
		t.Fatal(err)
	}
	text := words(render(t, file))
	for _, want := range []string{
		`odd - a \fBshort\fR one`, `.SH is no heading 'so is no file and \fBnot bold\fR nor \e`,
		`.nf "quoted" --flag $HOME ~user x^2`, `--dash-es NA-ME a NA-ME, .PP and 'tick (default \n)`,
	} {
		if !strings.Contains(text, words(want)) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
}
