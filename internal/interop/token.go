package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// token is a compact JWS. The driver only reads and forges; the servers verify.
type token string

func (t token) part(n int) map[string]any {
	parts := strings.Split(string(t), ".")
	members := map[string]any{}
	if len(parts) != 3 {
		return members
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil || json.Unmarshal(text, &members) != nil {
		return map[string]any{}
	}
	return members
}

func (t token) header(name string) string { return fmt.Sprint(t.part(0)[name]) }
func (t token) claim(name string) string  { return fmt.Sprint(t.part(1)[name]) }

func (t token) times() (issued, expires time.Time) {
	claims := t.part(1)
	iat, _ := claims["iat"].(float64)
	exp, _ := claims["exp"].(float64)
	return time.Unix(int64(iat), 0), time.Unix(int64(exp), 0)
}

// forge signs the claims of a good token with a key that nobody has published.
func forge(good token, kid string) (token, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	header, err := json.Marshal(map[string]string{"alg": "ES256", "typ": good.header("typ"), "kid": kid})
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString(header) + "." + strings.Split(string(good), ".")[1]
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return token(input + "." + base64.RawURLEncoding.EncodeToString(signature[:])), nil
}
