// Command signet is a login and token issuer for microservices. Run signet serve
// to start it, and signet --help for what an operator can do.
package main

import (
	"context"
	"os"
)

func main() {
	term := &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Environ()}
	os.Exit(run(context.Background(), term, os.Args[1:]))
}
