//go:build !unix

package pgcluster

import "os/exec"

type identity struct{}

func serverIdentity() (*identity, error) { return nil, ErrMissing }

func (*identity) own(string) error { return nil }

func (*identity) apply(*exec.Cmd) {}
