package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"signet/internal/control"
	"signet/keystore"
)

func keysImportCommand(a *app) *cobra.Command {
	var request control.KeyImport
	var fromStdin bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Let a private key that was made elsewhere sign",
		Long: `Replace a signing key by the private key in FILE, as rotate does by a new one: it
is published now and signs after keys.publish_ahead, or at once. FILE is PEM
(PKCS #1, PKCS #8, SEC 1, encrypted PKCS #8) or a JWK, and holds one key. With it
a deployment moves here whose services trust that key already: --now is for them.

The kid of the key is its RFC 7638 thumbprint here; that of a JWK is not taken.
Destroy FILE when every program is done with it.`,
		Args: oneArgument("file of a private key"),
	}
	ahead := durationFlag(cmd, "in", "publish the key this long before it signs (24h, 30d)")
	cmd.Flags().StringVar(&request.Alg, "alg", "", "`ALGORITHM` of the key: RS256 or PS256 for RSA; the others follow from the key")
	cmd.Flags().BoolVar(&request.Now, "now", false, "sign with the key at once: services that do not have it refuse its tokens until they fetch the key set")
	cmd.Flags().BoolVar(&request.DryRun, "dry-run", false, "show the plan and change nothing")
	cmd.Flags().BoolVar(&fromStdin, "passphrase-stdin", false, "read the passphrase of FILE from standard input, one line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("in") && request.Now {
			return usageError{errors.New("--in and --now exclude each other")}
		}
		if cmd.Flags().Changed("in") && *ahead <= 0 {
			return usageError{errors.New("--in takes a time that is longer than nothing; --now is for at once")}
		}
		request.In, request.Alg = time.Duration(*ahead), algorithm(request.Alg)
		return a.importKey(cmd.Context(), args[0], fromStdin, request)
	}
	return cmd
}

func (a *app) importKey(ctx context.Context, path string, fromStdin bool, request control.KeyImport) error {
	key, err := a.readKeyFile(path, fromStdin)
	if err != nil {
		return err
	}
	if key.Alg != "" && request.Alg != "" && key.Alg != request.Alg {
		return fmt.Errorf("the JWK says that it is for %.20q, and --alg says %s: one key is for one algorithm", key.Alg, request.Alg)
	}
	if request.Alg == "" {
		request.Alg = key.Alg
	}
	if request.PKCS8, err = key.PKCS8(); err != nil {
		return errors.New("the key cannot be encoded") // a cause could quote it
	}
	imported, err := do(ctx, a, control.ImportKey, request)
	if err != nil {
		return err
	}
	return a.print(imported, func(w io.Writer) { writeImported(w, imported, key, request.Now) })
}

// readKeyFile reads the key here: its passphrase goes no further.
func (a *app) readKeyFile(path string, fromStdin bool) (*keystore.ForeignKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(a.err, "warning: others may read %s (mode %04o), and so could have the key\n", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, keystore.MaxKeyFile+1))
	if err != nil {
		return nil, err
	}
	key, err := keystore.ReadPrivateKey(text, func() ([]byte, error) { return a.passphrase(path, fromStdin) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// maxPassphrase bounds a passphrase, in bytes.
const maxPassphrase = 1024

// passphrase asks without echo. It is never an argument: arguments show in process
// lists and in shell histories.
func (a *app) passphrase(path string, fromStdin bool) ([]byte, error) {
	if fromStdin {
		line, err := bufio.NewReader(io.LimitReader(a.in, maxPassphrase+3)).ReadString('\n')
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read the passphrase: %w", err)
		}
		phrase := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if len(phrase) > maxPassphrase {
			return nil, fmt.Errorf("the passphrase has more than %d bytes", maxPassphrase)
		}
		return []byte(phrase), nil
	}
	file, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil, hintedError{errors.New("it is encrypted, and standard input is not a terminal, so its passphrase cannot be asked for"),
			"add --passphrase-stdin and give the passphrase as one line on standard input"}
	}
	phrase, err := a.prompt(file, "Passphrase of "+path+": ")
	return []byte(phrase), err
}

func writeImported(w io.Writer, r control.ImportedKey, key *keystore.ForeignKey, atOnce bool) {
	if r.DryRun {
		fmt.Fprintln(w, "plan only; nothing was changed")
	}
	fmt.Fprintf(w, "%s: imported key %s %s\n", r.New.Alg, r.New.KID, beginning(r.New, r.Now))
	if r.Old.KID != "" {
		fmt.Fprintf(w, "%s  key %s signs until then, stays published until %s\n", pad(r.New.Alg), r.Old.KID, clock(r.Old.PublishedUntil))
	}
	if key.KID != "" && key.KID != r.New.KID {
		fmt.Fprintf(w, "the kid of the file, %.100q, is not taken: the kid is the thumbprint (RFC 7638)\n", key.KID)
	}
	if atOnce {
		fmt.Fprintln(w, "services that do not have the key refuse new tokens until they fetch the key set; nobody is logged out")
		return
	}
	fmt.Fprintln(w, "nobody is logged out; signet keys list shows the state")
}
