package web

import "math/rand/v2"

// requestID returns 128 bits in base32 (RFC 4648 §6). They tell requests apart and open
// nothing: the generator of package rand/v2, which the system seeds, is good enough and
// makes no system call.
func requestID() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	var id [26]byte
	high, low := rand.Uint64(), rand.Uint64()
	for i := range 13 {
		id[i], id[13+i] = alphabet[high&31], alphabet[low&31]
		high, low = high>>5, low>>5
	}
	return string(id[:])
}
