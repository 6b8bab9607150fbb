//go:build !unix

package pgtest

import "os/exec"

type identity struct{}

func serverIdentity() (*identity, error) { return nil, errMissing }

func (*identity) own(string) error { return nil }

func (*identity) apply(*exec.Cmd) {}
