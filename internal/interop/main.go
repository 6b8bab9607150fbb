// Command interop starts Signet and every resource server of examples/ for real,
// drives them through the life of tokens and keys, and prints what each did. It
// fails on any cell that differs from what its row in clients.go expects.
//
// Start at [run]. An example is set up and started with the lines of its README,
// so that those are tested too. scripts/interop is how to call it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	only := flag.String("only", "", "run these examples alone, comma separated")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only); err != nil {
		fmt.Fprintf(os.Stderr, "interop: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) (err error) {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	issuer, err := startIssuer(ctx, dir)
	if err != nil {
		return err
	}
	defer issuer.stop()
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	servers, lacking, err := startServers(ctx, dir, issuer, chosen)
	defer func() {
		for _, s := range servers {
			s.process.Stop()
		}
	}()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := drive(ctx, issuer, servers); err != nil {
		return err
	}
	fmt.Printf("\n%s\ndriven for %v\n", matrix(servers), time.Since(begun).Round(time.Second))
	return errors.Join(verdict(servers), lack(lacking))
}

func choose(only string) ([]client, error) {
	if only == "" {
		return clients, nil
	}
	var chosen []client
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(clients, func(c client) bool { return c.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no example %q", name)
		}
		chosen = append(chosen, clients[i])
	}
	return chosen, nil
}

// lack says loudly what was not run; in CI that is a failure.
func lack(lacking []string) error {
	if len(lacking) == 0 {
		return nil
	}
	text := "NOT RUN: " + strings.Join(lacking, "; ")
	if os.Getenv("CI") != "" {
		return errors.New(text)
	}
	fmt.Println(text)
	return nil
}

// startServers sets up and starts the examples, two at a time. What it has started
// is returned with an error too.
func startServers(ctx context.Context, dir string, i *issuer, chosen []client) (running []*server, lacking []string, err error) {
	var wanted []*server
	for _, c := range chosen {
		if missing := c.missing(); missing != "" {
			lacking = append(lacking, c.name+" needs "+missing)
			continue
		}
		wanted = append(wanted, &server{client: c, dir: filepath.Join(dir, c.name)})
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, s := range wanted {
		group.Go(func() error {
			begun := time.Now()
			if err := s.start(groupCtx, i); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			fmt.Printf("%s: set up and started in %v\n", s.name, time.Since(begun).Round(100*time.Millisecond))
			return nil
		})
	}
	err = group.Wait()
	for _, s := range wanted {
		if s.process != nil {
			running = append(running, s)
		}
	}
	return running, lacking, err
}
