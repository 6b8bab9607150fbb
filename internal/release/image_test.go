package release

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// image is what the last stage of configs/Dockerfile makes.
type image struct {
	root       string
	copies     []string // the sources in the stage build
	env        []string
	user       string
	entrypoint []string
	command    []string
	volumes    []string
	dir        string // in which it starts
}

// instruction is a line of a Dockerfile.
type instruction struct{ name, rest string }

func lastStage(t *testing.T) (stage []instruction) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "configs/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	from := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		if name == "FROM" {
			stage, from = nil, rest
			continue
		}
		stage = append(stage, instruction{name, rest})
	}
	if from != "scratch" {
		t.Fatalf("the last stage is from %q, not from scratch", from)
	}
	return stage
}

// makeImage lays out the image in a directory. No engine is needed for that: the stage has
// a few instructions, and one that is not known here fails the test.
func makeImage(t *testing.T) *image {
	t.Helper()
	img := &image{root: t.TempDir()}
	if err := os.Chmod(img.root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, i := range lastStage(t) {
		img.do(t, i)
	}
	return img
}

func (img *image) do(t *testing.T, i instruction) {
	t.Helper()
	var err error
	switch i.name {
	case "COPY":
		img.copy(t, strings.Fields(i.rest))
	case "USER":
		img.user = i.rest
	case "ENV":
		img.env = append(img.env, i.rest)
	case "VOLUME":
		img.volumes = append(img.volumes, i.rest)
	case "WORKDIR":
		img.dir = i.rest
		err = os.MkdirAll(filepath.Join(img.root, i.rest), 0o755)
	case "EXPOSE":
	case "ENTRYPOINT":
		err = json.Unmarshal([]byte(i.rest), &img.entrypoint)
	case "CMD":
		err = json.Unmarshal([]byte(i.rest), &img.command)
	default:
		t.Fatalf("this test does not know %s", i.name)
	}
	if err != nil {
		t.Fatalf("%s %s: %v", i.name, i.rest, err)
	}
}

// copy does COPY --from=build [--chown=UID:GID] SOURCE DIRECTORY/.
func (img *image) copy(t *testing.T, words []string) {
	t.Helper()
	uid, gid := 0, 0
	for strings.HasPrefix(words[0], "--") {
		if _, err := fmt.Sscanf(words[0], "--chown=%d:%d", &uid, &gid); err != nil && words[0] != "--from=build" {
			t.Fatalf("COPY %s is not known here", words[0])
		}
		words = words[1:]
	}
	if len(words) != 2 || !strings.HasSuffix(words[1], "/") {
		t.Fatalf("COPY %q: want one source and a directory", words)
	}
	to := filepath.Join(img.root, words[1])
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	img.copies = append(img.copies, words[0])
	switch source := words[0]; source {
	case "/src/dist/signet":
		run(t, exec.Command("cp", filepath.Join(dist(t), "signet"), to))
	case "/src/dist/notices.txt":
		run(t, exec.Command("cp", filepath.Join(dist(t), "notices.txt"), to))
	case "/etc/ssl/certs/ca-certificates.crt":
		if err := os.WriteFile(filepath.Join(to, path.Base(source)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	case "/data/": // made by RUN in the stage build; TestImageData
		dir := filepath.Join(to, "signet")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("COPY %s is not known here", source)
	}
}

// TestImageData: the stage build makes the directory that the image has as its volume.
func TestImageData(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "configs/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nRUN scripts/build binary && mkdir -p /data && mkdir -m 0700 /data/signet\n",
		"\nCOPY --from=build --chown=65532:65532 /data/ /var/lib/\n",
		"\nVOLUME /var/lib/signet\n",
		"\nENV SIGNET_DATA=/var/lib/signet\n",
	} {
		if strings.Count(string(text), want) != 1 {
			t.Errorf("the Dockerfile lacks %q", want)
		}
	}
}

// TestImageRuns: in a root directory that holds the image and nothing else, as its user,
// the server starts, takes an account by a second process, and logs it in.
func TestImageRuns(t *testing.T) {
	needs(t, os.Geteuid() == 0, "the tests run as root: they change the root directory of a process")
	img := makeImage(t)
	if img.user != "65532:65532" || !slices.Equal(img.volumes, []string{"/var/lib/signet"}) || len(img.copies) != 4 {
		t.Fatalf("user %s, volumes %q, copies %q", img.user, img.volumes, img.copies)
	}
	addr := freeAddress(t)
	img.env = append(img.env, "SIGNET_LISTEN="+addr, "SIGNET_ISSUER=http://"+addr, "SIGNET_OPS_LISTEN=")
	var log bytes.Buffer
	server := img.process(slices.Concat(img.entrypoint, img.command)...)
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() { server.Process.Kill() })
	waitReady(t, addr, ended, &log)

	add := img.process(slices.Concat(img.entrypoint, []string{"users", "add", "kyoko", "--password-stdin"})...)
	add.Stdin = strings.NewReader("correct horse battery staple\n")
	if out, err := add.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "added kyoko, ") {
		t.Fatalf("users add: %v\n%s", err, out)
	}
	login, err := http.Post("http://"+addr+"/api/token/", "application/json",
		strings.NewReader(`{"username":"kyoko","password":"correct horse battery staple"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer login.Body.Close()
	if body, _ := io.ReadAll(login.Body); login.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"access":"`)) {
		t.Errorf("login: %s %s", login.Status, body)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v\n%s", err, log.String())
	}
	img.wroteOnlyTo(t, "/var/lib/signet")
}

// process is a program in the image.
func (img *image) process(args ...string) *exec.Cmd {
	cmd := &exec.Cmd{Path: args[0], Args: args, Dir: img.dir, Env: img.env}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     img.root,
		Credential: &syscall.Credential{Uid: 65532, Gid: 65532},
	}
	return cmd
}

// wroteOnlyTo: all that the image's user owns is in the volume, and closed to others.
func (img *image) wroteOnlyTo(t *testing.T, volume string) {
	t.Helper()
	found := 0
	err := filepath.Walk(img.root, func(name string, info os.FileInfo, err error) error {
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != 65532 {
			return err
		}
		found++
		if !strings.HasPrefix(name, img.root+volume) || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s %s", info.Mode(), name)
		}
		return nil
	})
	if err != nil || found < 3 {
		t.Errorf("%d files of the user, %v", found, err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func waitReady(t *testing.T, addr string, ended <-chan error, log *bytes.Buffer) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	patience := time.After(30 * time.Second)
	for {
		select {
		case err := <-ended:
			t.Fatalf("the server ended: %v\n%s", err, log)
		case <-patience:
			t.Fatal("the server is not ready")
		case <-tick.C:
		}
		resp, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
}
