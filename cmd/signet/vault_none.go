//go:build !pkcs11

package main

import (
	"errors"
	"io"

	"signet/configs"
	"signet/keystore"
)

// openVault refuses a token: this build is static, and a module is loaded with cgo.
func openVault(cfg *configs.Config) (keystore.Vault, io.Closer, error) {
	if cfg.Keys.PKCS11Module == "" {
		return nil, nil, nil
	}
	return nil, nil, hintedError{
		errors.New("keys.pkcs11_module is set, and this build has no PKCS #11"),
		"build with: CGO_ENABLED=1 go build -tags pkcs11 ./cmd/signet",
	}
}
