package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A section of the page signet(1) that no command's own text holds.
type section struct {
	title string
	lead  string
	terms [][2]string // each with what it means
}

var commonSections = []section{
	{"EXIT STATUS", "", [][2]string{
		{"0", "It is done."},
		{"1", "It was refused or failed. Standard error has one line, signet: what: cause, and where there is one a second line with the command that would work."},
		{"2", "It was used wrongly: there is no such command, flag or argument."},
		{"130", "It was interrupted."},
	}},
	{"ENVIRONMENT", "Every setting is also a variable: tokens.access is SIGNET_TOKENS_ACCESS. A flag beats the environment, which beats the configuration file.", [][2]string{
		{"SIGNET_CONFIG", "The configuration file, if --config names none."},
		{"SIGNET_DATA", "The data directory: where commands find the server."},
		{"NOTIFY_SOCKET", "Set by systemd: signet serve tells when it is ready, reloads and stops."},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "Where signet serve sends traces of requests; without it, nowhere. The other standard OTEL_ variables hold, too."},
		{"SOURCE_DATE_EPOCH", "The date of the pages that signet man writes."},
	}},
	{"FILES", "", [][2]string{
		{"./signet-data", "The data directory, unless data names another one. Mode 0700."},
		{"signet-data/signet.db", "The database: accounts, sessions, clients, and the sealed private keys."},
		{"signet-data/seal.key", "The key that seals the private keys. Keep a copy of it, apart from copies of the database."},
		{"signet-data/audit.log", "The audit log, unless audit_file names another one. It is in no backup of the database."},
		{"signet-data/acme/", "With tls.acme_hosts: the certificates that the CA has issued, and their private keys. Mode 0700."},
		{"signet-data/control.sock", "The socket by which commands reach the running server. It admits the user of the server, and root."},
		{"/etc/signet/signet.yaml", "The configuration of the service that the Debian package installs; its data directory is /var/lib/signet."},
	}},
}

// manPage writes the page of a command for man(7). The texts of commands are plain text,
// not the Markdown that cobra/doc takes them for: there their tables become paragraphs.
func manPage(cmd *cobra.Command, date time.Time) string {
	var r roff
	fmt.Fprintf(&r, ".TH %q 1 %q %q %q\n.nh\n.ad l\n", strings.ToUpper(pageName(cmd)), date.Format(time.DateOnly), "signet "+version, "Signet")
	r.section("NAME")
	r.line(pageName(cmd) + " - " + cmd.Short)
	r.section("SYNOPSIS")
	r.line(synopsis(cmd))
	r.section("DESCRIPTION")
	r.text(description(cmd))
	r.commands(documented(cmd))
	r.flags("OPTIONS", cmd.NonInheritedFlags())
	r.flags("GLOBAL OPTIONS", cmd.InheritedFlags())
	if cmd.HasExample() {
		r.section("EXAMPLES")
		r.text(cmd.Example)
	}
	if !cmd.HasParent() {
		r.common()
	}
	r.seeAlso(cmd)
	return r.String()
}

func synopsis(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND [flags]"
	}
	return cmd.UseLine()
}

func description(cmd *cobra.Command) string {
	if cmd.Long != "" {
		return cmd.Long
	}
	return cmd.Short + "."
}

// roff is a page that is being written.
type roff struct{ strings.Builder }

// escape makes a text that roff prints as it is. A hyphen is written as a minus sign:
// what is copied from a page can be run.
var escape = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`).Replace

func (r *roff) section(title string) { fmt.Fprintf(r, ".SH %s\n", escape(title)) }

// line writes text that is no request, although it begins with a dot.
func (r *roff) line(text string) {
	if strings.HasPrefix(text, ".") {
		r.WriteString(`\&`)
	}
	r.WriteString(escape(text) + "\n")
}

// text writes paragraphs; lines that are indented stay as they are.
func (r *roff) text(text string) {
	verbatim := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if indented := strings.HasPrefix(line, "  "); line != "" && indented != verbatim {
			r.verbatim(indented)
			verbatim = indented
		}
		if line == "" && !verbatim {
			r.WriteString(".PP\n")
			continue
		}
		r.line(strings.TrimPrefix(line, "  "))
	}
	if verbatim {
		r.verbatim(false)
	}
}

func (r *roff) verbatim(begins bool) {
	if begins {
		r.WriteString(".RS 2\n.nf\n")
		return
	}
	r.WriteString(".fi\n.RE\n")
}

// term writes an entry of a list; head is roff.
func (r *roff) term(head, text string) {
	fmt.Fprintf(r, ".TP\n%s\n", head)
	r.line(text)
}

func bold(text string) string { return `\fB` + escape(text) + `\fR` }

func (r *roff) commands(commands []*cobra.Command) {
	if len(commands) > 0 {
		r.section("COMMANDS")
	}
	for _, c := range commands {
		r.term(bold(pageName(c))+"(1)", c.Short)
	}
}

func (r *roff) flags(title string, flags *pflag.FlagSet) {
	if flags.HasAvailableFlags() {
		r.section(title)
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Deprecated == "" {
			r.flag(f)
		}
	})
}

func (r *roff) flag(f *pflag.Flag) {
	head := bold("--" + f.Name)
	if f.Shorthand != "" {
		head = bold("-"+f.Shorthand) + ", " + head
	}
	name, usage := pflag.UnquoteUsage(f)
	if name != "" {
		head += ` \fI` + escape(name) + `\fR`
	}
	if shown := f.DefValue; shown != "" && shown != "false" && shown != "0" && shown != "[]" && !strings.Contains(usage, "(default") {
		usage += " (default " + shown + ")"
	}
	r.term(head, usage)
}

func (r *roff) common() {
	for _, s := range commonSections {
		r.section(s.title)
		if s.lead != "" {
			r.line(s.lead)
		}
		for _, t := range s.terms {
			r.term(bold(t[0]), t[1])
		}
	}
}

func (r *roff) seeAlso(cmd *cobra.Command) {
	if !cmd.HasParent() {
		return
	}
	r.section("SEE ALSO")
	pages := []string{bold(pageName(cmd.Root())) + "(1)"}
	if parent := cmd.Parent(); parent.HasParent() {
		pages = append(pages, bold(pageName(parent))+"(1)")
	}
	r.WriteString(strings.Join(pages, ", ") + "\n")
}
