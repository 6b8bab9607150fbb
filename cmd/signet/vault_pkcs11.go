//go:build pkcs11

package main

import (
	"io"

	"signet/configs"
	"signet/internal/pkcs11"
	"signet/keystore"
)

// openVault opens the token in which private keys live; nil if there is none.
func openVault(cfg *configs.Config) (keystore.Vault, io.Closer, error) {
	if cfg.Keys.PKCS11Module == "" {
		return nil, nil, nil
	}
	token, err := pkcs11.Open(pkcs11.Options{Module: cfg.Keys.PKCS11Module, Token: cfg.Keys.PKCS11Token, PINFile: cfg.Keys.PKCS11PINFile})
	if err != nil {
		return nil, nil, hintedError{err, "check keys.pkcs11_module, keys.pkcs11_token and keys.pkcs11_pin_file"}
	}
	return token, token, nil
}
