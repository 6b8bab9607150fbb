package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestUnitExposure: systemd's own measure of what a service could do to its machine. What
// remains of it is the network, which an issuer is for, the file system of the machine,
// read-only, /proc, and the system call with which the hash worker lowers its priority.
func TestUnitExposure(t *testing.T) {
	needsProgram(t, "systemd-analyze")
	out, _ := run(t, exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", unit(t)))
	found := regexp.MustCompile(`Overall exposure level for signet\.service: ([0-9.]+) `).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("no level in\n%s", out)
	}
	if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > 1.2 {
		t.Errorf("exposure %s, at most 1.2 is wanted (%v)\n%s", found[1], err, out)
	}
}

// TestUnitIsUnderstood: systemd knows every line; it only warns of those that it does not.
func TestUnitIsUnderstood(t *testing.T) {
	needsProgram(t, "systemd-analyze", "systemd-sysusers")
	out, warnings := run(t, exec.Command("systemd-analyze", "verify", "--man=no", unit(t)))
	if out+warnings != "" {
		t.Errorf("systemd-analyze verify:\n%s%s", out, warnings)
	}
	sysusers, err := filepath.Abs(filepath.Join(root, "configs/systemd/sysusers.conf"))
	if err != nil {
		t.Fatal(err)
	}
	_, plan := run(t, exec.Command("systemd-sysusers", "--dry-run", "--root", t.TempDir(), sysusers))
	if !strings.Contains(plan, "Would create user signet") && !strings.Contains(plan, "Creating user 'signet'") {
		t.Errorf("systemd-sysusers:\n%s", plan)
	}
}

// TestUnitGoesOnTrying: a database that is away for an hour leaves the service down no
// longer than that. A limit of starts would end the tries.
func TestUnitGoesOnTrying(t *testing.T) {
	text, err := os.ReadFile(unit(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Type=notify", "Restart=on-failure", "RestartSec=5", "StartLimitIntervalSec=0"} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("the unit has no line %s", line)
		}
	}
}

// unit is a copy of the unit that starts a binary which is there.
func unit(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "configs/systemd/signet.service"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), "\nExecStart=/usr/bin/signet serve\n") != 1 {
		t.Fatal("the unit does not start /usr/bin/signet serve")
	}
	file := filepath.Join(t.TempDir(), "signet.service")
	here := strings.Replace(string(text), "=/usr/bin/signet ", "=/bin/true ", 1)
	if err := os.WriteFile(file, []byte(here), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
