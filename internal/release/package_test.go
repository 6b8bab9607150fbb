package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// installed are the files of the package, but for the manual pages.
var installed = []string{
	"-rwxr-xr-x /usr/bin/signet",
	"-rw-r--r-- /etc/logrotate.d/signet",
	"-rw-r--r-- /etc/signet/signet.yaml",
	"-rw-r--r-- /usr/lib/systemd/system/signet.service",
	"-rw-r--r-- /usr/lib/sysusers.d/signet.conf",
	"-rw-r--r-- /usr/share/bash-completion/completions/signet",
	"-rw-r--r-- /usr/share/zsh/vendor-completions/_signet",
	"-rw-r--r-- /usr/share/fish/vendor_completions.d/signet.fish",
	"-rw-r--r-- /usr/share/doc/signet/changelog.gz",
	"-rw-r--r-- /usr/share/doc/signet/copyright",
	"-rw-r--r-- /usr/share/doc/signet/examples/grafana/signet.json",
	"-rw-r--r-- /usr/share/doc/signet/examples/prometheus/prometheus.yml",
	"-rw-r--r-- /usr/share/doc/signet/examples/prometheus/signet-alerts-test.yaml",
	"-rw-r--r-- /usr/share/doc/signet/examples/prometheus/signet-alerts.yaml",
	"-rw-r--r-- /usr/share/doc/signet/examples/signet.yaml",
	"-rw-r--r-- /usr/share/doc/signet/notices.gz",
	"-rw-r--r-- /usr/share/doc/signet/signet.cdx.json",
	"-rw-r--r-- /usr/share/lintian/overrides/signet",
}

// TestPackageHolds: these files with these modes, all of root and of the commit's time.
func TestPackageHolds(t *testing.T) {
	needsProgram(t, "dpkg-deb")
	deb := debFile(t, dist(t))
	list := exec.Command("dpkg-deb", "--contents", deb)
	list.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	out, _ := run(t, list)
	var files, pages []string
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 6 || f[1] != "root/root" || f[3]+" "+f[4] != "2023-11-14 22:13" {
			t.Errorf("not of root or of another time: %s", line)
			continue
		}
		name := strings.TrimPrefix(f[5], ".")
		switch entry := f[0] + " " + name; {
		case f[0] == "drwxr-xr-x":
		case regexp.MustCompile(`^-rw-r--r-- /usr/share/man/man1/signet[a-z-]*\.1\.gz$`).MatchString(entry):
			pages = append(pages, name)
		default:
			files = append(files, entry)
		}
	}
	slices.Sort(files)
	want := slices.Sorted(slices.Values(installed))
	if !slices.Equal(files, want) {
		t.Errorf("the package holds\n%s\nwant\n%s", strings.Join(files, "\n"), strings.Join(want, "\n"))
	}
	if len(pages) < 30 || !slices.Contains(pages, "/usr/share/man/man1/signet-users-add.1.gz") {
		t.Errorf("%d manual pages", len(pages))
	}
	conffiles, _ := run(t, exec.Command("dpkg-deb", "--info", deb, "conffiles"))
	if conffiles != "/etc/logrotate.d/signet\n/etc/signet/signet.yaml\n" && conffiles != "/etc/signet/signet.yaml\n/etc/logrotate.d/signet\n" {
		t.Errorf("conffiles: %q", conffiles)
	}
}

// TestPackageUnpacked: what comes out of it is what was built, and runs.
func TestPackageUnpacked(t *testing.T) {
	needsProgram(t, "dpkg-deb")
	dir := t.TempDir()
	run(t, exec.Command("dpkg-deb", "--extract", debFile(t, dist(t)), dir))
	same(t, filepath.Join(dir, "usr/bin/signet"), filepath.Join(dist(t), "signet"))
	same(t, filepath.Join(dir, "usr/lib/systemd/system/signet.service"), filepath.Join(root, "configs/systemd/signet.service"))
	reference, _ := run(t, exec.Command(filepath.Join(dir, "usr/bin/signet"), "serve", "--reference"))
	example, err := os.ReadFile(filepath.Join(dir, "usr/share/doc/signet/examples/signet.yaml"))
	if err != nil || string(example) != reference {
		t.Errorf("the example is not the reference of the binary: %v", err)
	}
}

// TestPackageIsClean: lintian finds nothing but that whoever builds it by the way has no
// address, and that the libraries' notices are in a file of their own.
func TestPackageIsClean(t *testing.T) {
	needsProgram(t, "lintian")
	cmd := exec.Command("lintian", "--allow-root", "--fail-on=none", debFile(t, dist(t)))
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, _ := run(t, cmd)
	known := regexp.MustCompile(`^(E: signet: bogus-mail-host(-in-debian-changelog)? .*signet@localhost|W: signet: copyright-without-copyright-notice$)`)
	lines := 0
	for line := range strings.Lines(out) {
		lines++
		if !known.MatchString(strings.TrimSpace(line)) {
			t.Errorf("lintian: %s", line)
		}
	}
	if lines != 3 {
		t.Errorf("lintian says\n%s", out)
	}
}

// TestPackageInstalls: dpkg installs it on a copy of this machine, the service runs as its
// user without any privilege, commands reach it as that user and as root, and neither
// removal nor purge takes the accounts and keys.
func TestPackageInstalls(t *testing.T) {
	needsProgram(t, "unshare", "dpkg", "setpriv", "runuser", "systemctl", "systemd-sysusers")
	err := exec.Command("unshare", "--mount", "true").Run()
	needs(t, os.Geteuid() == 0 && err == nil, "the tests run as root and may mount")
	deb := debFile(t, dist(t))
	cmd := exec.Command("timeout", "90", "unshare", "--mount", "sh", "testdata/install.sh", deb, t.TempDir())
	cmd.Env = append(cleanEnv(), "LC_ALL=C.UTF-8")
	out, errs := run(t, cmd)
	sections := map[string]string{}
	for _, part := range strings.Split(out, "== ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		sections[name] = text
	}
	for name, want := range map[string]string{
		"install": `signet:   systemctl enable --now signet\n`,
		"user":    `^signet:Signet, login and token issuer:/var/lib/signet:/usr/sbin/nologin\n$`,
		"hint": `(?s)try: sudo -u signet signet … --config /etc/signet/signet\.yaml .*no database at /var/lib/signet/signet\.db\n  try: sudo systemctl enable --now signet ` +
			`.*\n  try: signet serve --data signet-data  # makes one.*\n  try: signet serve  # makes one` +
			`.*nothing answers at signet-data/control\.sock\n +-> start it: signet serve; the service of this machine is asked with --config /etc/signet/signet\.yaml\n` +
			`.*it cannot be opened: there is no database at signet-data/signet\.db\n +-> sudo -u signet signet … --config /etc/signet/signet\.yaml `,
		"check": `^the configuration is good\n$`,
		"users": `(?s)^added kyoko, .*\nkyoko\n`,
		"files": `^700 signet /var/lib/signet\n600 signet /var/lib/signet/audit\.log\n600 signet /var/lib/signet/control\.sock\n` +
			`600 signet /var/lib/signet/seal\.key\n600 signet /var/lib/signet/signet\.db\n$`,
		"enable": `multi-user\.target\.wants/signet\.service`,
		"remove": `no link is left\n/etc/signet/signet\.yaml\n$`,
		"purge":  `(?s)/var/lib/signet, with all accounts and keys, is left as it is\n.*no configuration is left\naudit\.log\nseal\.key\nsignet\.db\n$`,
	} {
		if !regexp.MustCompile(want).MatchString(sections[name]) {
			t.Errorf("%s: %s\nwant %s\n%s", name, sections[name], want, errs)
		}
	}
}
