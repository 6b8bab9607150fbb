// Package release holds the tests of what scripts/build makes, and of the files that
// say how it runs: the unit, the image and the package. They are apart from those of
// cmd/signet since they drive another binary: the one that is released.
package release

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const root = "../.."

var scratch string // a directory for all tests

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "signet-release-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		scratch = dir
		return m.Run()
	}())
}

// needs skips a test that lacks what it needs, loudly; in CI it fails.
func needs(t *testing.T, there bool, what string) {
	t.Helper()
	switch {
	case there:
	case os.Getenv("CI") != "":
		t.Fatalf("not tested: needed is that %s", what)
	default:
		t.Skipf("SKIPPED: needed is that %s", what)
	}
}

func needsProgram(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := exec.LookPath(name)
		needs(t, err == nil, "there is "+name)
	}
}

// run runs a program and returns what it wrote, standard error apart.
func run(t *testing.T, cmd *exec.Cmd) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// checkout is a copy of this tree as one commit, the same wherever it is made.
var checkout = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(scratch, "checkout")
	if err := copyTree(dir); err != nil {
		return "", err
	}
	git := exec.Command("sh", "-c", "git init -q . && git add -A . && git commit -q -m all")
	git.Dir = dir
	git.Env = gitEnv()
	if out, err := git.CombinedOutput(); err != nil {
		return "", errors.New(err.Error() + ": " + string(out))
	}
	return dir, nil
})

// gitEnv makes a commit of the same files the same commit.
func gitEnv() []string {
	return append(cleanEnv(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@localhost", "GIT_COMMITTER_DATE=1700000000 +0000")
}

// copyTree copies what a build reads.
func copyTree(to string) error {
	for _, part := range []string{
		".gitignore", "cmd", "configs", "go.mod", "go.sum", "internal", "issuer", "jwks",
		"keystore", "scripts", "users", "verify",
	} {
		target := filepath.Join(to, part)
		info, err := os.Stat(filepath.Join(root, part))
		if err != nil {
			return err
		}
		if info.IsDir() {
			err = copyDir(target, filepath.Join(root, part))
		} else {
			err = copyFile(target, filepath.Join(root, part), info.Mode())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyDir leaves out what the tests of other packages, which run at the same time, make.
func copyDir(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && d.Name() == "testdata":
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !d.Type().IsRegular() || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return copyFile(filepath.Join(to, name), path, info.Mode())
	})
}

func copyFile(to, from string, mode fs.FileMode) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, mode.Perm())
}

// cleanEnv is the environment without what scripts/build reads.
func cleanEnv() (env []string) {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !slices.Contains([]string{"VERSION", "REVISION", "SOURCE_DATE_EPOCH", "MAINTAINER", "GOARCH", "GIT_DIR"}, name) {
			env = append(env, entry)
		}
	}
	return env
}

func script(dir string, env []string, args ...string) error {
	build := exec.Command("scripts/build", args...)
	build.Dir, build.Env = dir, append(cleanEnv(), env...)
	if out, err := build.CombinedOutput(); err != nil {
		return errors.New(err.Error() + ": " + string(out))
	}
	return nil
}

// built is what scripts/build has made, once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := checkout()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "dist"), script(dir, nil)
})

func dist(t *testing.T) string {
	t.Helper()
	needsProgram(t, "git", "bash", "gzip", "sha256sum")
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// debFile is the one package in a directory.
func debFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("packages in %s: %q, %v", dir, files, err)
	}
	return files[0]
}

// TestBuildIsReproducible: another directory, umask, time zone and owner of the files,
// and a compiler that starts from nothing, make the same bytes.
func TestBuildIsReproducible(t *testing.T) {
	first := dist(t)
	other := filepath.Join(scratch, "another", "place of it")
	if err := os.MkdirAll(filepath.Dir(other), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, exec.Command("cp", "-r", filepath.Dir(first), other))
	run(t, exec.Command("rm", "-r", filepath.Join(other, "dist")))
	run(t, exec.Command("chmod", "-R", "g+w", other))
	run(t, exec.Command("git", "-C", other, "config", "core.fileMode", "false"))

	if err := script(other, []string{"GOCACHE=" + t.TempDir()}, "binary"); err != nil {
		t.Fatal(err)
	}
	same(t, filepath.Join(first, "signet"), filepath.Join(other, "dist", "signet"))
	if err := script(other, []string{"TZ=Asia/Tokyo", "LANG=C.UTF-8"}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(first)
	if err != nil || len(files) != 5 {
		t.Fatalf("%d files in dist, %v", len(files), err)
	}
	for _, f := range files {
		same(t, filepath.Join(first, f.Name()), filepath.Join(other, "dist", f.Name()))
	}
	check := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = first
	if out, _ := run(t, check); strings.Count(out, ": OK\n") != len(files)-1 {
		t.Errorf("SHA256SUMS:\n%s", out)
	}
}

func same(t *testing.T, a, b string) {
	t.Helper()
	left, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	right, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(left, right) {
		t.Errorf("%s is not the same in two builds", filepath.Base(a))
	}
}

// TestBinaryKnowsWhatItIs: version and commit, and nothing of the place of its build.
func TestBinaryKnowsWhatItIs(t *testing.T) {
	dir := dist(t)
	out, _ := run(t, exec.Command(filepath.Join(dir, "signet"), "version", "-o", "json"))
	var is struct{ Version, Revision string }
	if err := json.Unmarshal([]byte(out), &is); err != nil {
		t.Fatal(err)
	}
	commit, _ := run(t, exec.Command("git", "-C", filepath.Dir(dir), "rev-parse", "HEAD"))
	commit = strings.TrimSpace(commit)
	if want := "0.0.0+git20231114221320." + commit[:12]; is.Version != want || is.Revision != commit {
		t.Errorf("version %s of %s, want %s of %s", is.Version, is.Revision, want, commit)
	}
	text, err := os.ReadFile(filepath.Join(dir, "signet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{scratch, os.Getenv("HOME") + "/"} {
		if bytes.Contains(text, []byte(place)) {
			t.Errorf("the binary holds %s", place)
		}
	}
}

// TestVersions: what a version is called, from a tag to changes that are not committed.
func TestVersions(t *testing.T) {
	needsProgram(t, "git", "bash")
	dir := t.TempDir()
	if err := copyFile(filepath.Join(dir, "scripts/build"), filepath.Join(root, "scripts/build"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ git, want string }{
		{"init -q .", ""},
		{"add .", ""},
		{"commit -q -m one", `0\.0\.0\+git20231114221320\.[0-9a-f]{12}`},
		{"tag -a -m one v1.2.3-rc1", `1\.2\.3-rc1`},
		{"commit -q --allow-empty -m two", `1\.2\.3-rc1\+1\.g[0-9a-f]{12}`},
		{"tag -a -m two v1.2.3", `1\.2\.3`},
		{"rm -q --cached scripts/build", `1\.2\.3\+dirty`},
		{"commit -q -m three", `1\.2\.3\+1\.g[0-9a-f]{12}\.dirty`},
	} {
		git := exec.Command("git", strings.Fields(step.git)...)
		git.Dir, git.Env = dir, gitEnv()
		run(t, git)
		if step.want == "" {
			continue
		}
		version := exec.Command("scripts/build", "version")
		version.Dir, version.Env = dir, gitEnv()
		if out, _ := run(t, version); !regexp.MustCompile(`^` + step.want + `\n$`).MatchString(out) {
			t.Errorf("after git %s: version %s, want %s", step.git, out, step.want)
		}
	}
}

// TestBuildRefuses: what cannot be a version, a commit or a time.
func TestBuildRefuses(t *testing.T) {
	needsProgram(t, "git", "bash")
	dir, err := checkout()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		env  []string
		want string
	}{
		"no version":  {[]string{"VERSION=main"}, "VERSION=main is 1.2.3"},
		"no commit":   {[]string{"REVISION=v1.2.3"}, "REVISION=v1.2.3 the hash"},
		"no date":     {[]string{"SOURCE_DATE_EPOCH=today"}, "SOURCE_DATE_EPOCH=today seconds"},
		"no checkout": {[]string{"GIT_DIR=/nowhere"}, "this is no checkout of git: set VERSION"},
	} {
		t.Run(name, func(t *testing.T) {
			err := script(dir, tt.env, "binary")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestSBOM: it lists the modules that the binary says it has, and the Go that built it.
func TestSBOM(t *testing.T) {
	dir := dist(t)
	info, err := buildinfo.ReadFile(filepath.Join(dir, "signet"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"std": info.GoVersion}
	for _, dep := range info.Deps {
		want[dep.Path] = dep.Version
	}
	text, err := os.ReadFile(filepath.Join(dir, "signet.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BOMFormat    string
		SerialNumber string
		Components   []struct{ Name, Version string }
		Metadata     struct{ Timestamp string }
	}
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range bom.Components {
		got[c.Name] = c.Version
	}
	if bom.BOMFormat != "CycloneDX" || len(want) < 20 || !maps.Equal(got, want) {
		t.Errorf("%s lists\n%v\nwant\n%v", bom.BOMFormat, got, want)
	}
	notices, err := os.ReadFile(filepath.Join(dir, "notices.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range info.Deps {
		if !bytes.Contains(notices, []byte("\n== "+dep.Path+" "+dep.Version+"\n")) {
			t.Errorf("the notices lack %s", dep.Path)
		}
	}
}
