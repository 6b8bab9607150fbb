package jwks

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
)

// CheckRSA refuses an RSA key that nobody should trust or that common verifiers do
// not take: a modulus of less than 2048 or more than 8192 bits, an exponent that is
// even, below 65537 or past 31 bits, and the keys of ROCA (CVE-2017-15361), which
// can be factored.
func CheckRSA(key *rsa.PublicKey) error {
	bits := key.N.BitLen()
	switch {
	case bits < minRSABits:
		return fmt.Errorf("RSA modulus of %d bits; the least is %d", bits, minRSABits)
	case bits > maxRSABits:
		return fmt.Errorf("RSA modulus of %d bits; the most is %d", bits, maxRSABits)
	case key.N.Bit(0) == 0:
		return errors.New("RSA modulus that is even")
	case key.E < 1<<16+1 || key.E >= 1<<31 || key.E%2 == 0:
		return errors.New("RSA exponent is not an odd number from 65537 to 2^31")
	case isROCA(key.N):
		return errors.New("RSA modulus with the fingerprint of ROCA (CVE-2017-15361): its private key can be computed from it")
	}
	return nil
}

// rocaPrimes are the primes of the published fingerprint. A modulus of the flawed
// generator is a power of 65537 modulo each of them; of other moduli less than one
// in 2^27 is.
var rocaPrimes = []int64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
	107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
}

// rocaResidues are, by prime, the powers of 65537.
var rocaResidues = func() []map[int64]bool {
	all := make([]map[int64]bool, len(rocaPrimes))
	for i, prime := range rocaPrimes {
		powers := map[int64]bool{}
		for power := int64(1); !powers[power]; power = power * 65537 % prime {
			powers[power] = true
		}
		all[i] = powers
	}
	return all
}()

func isROCA(n *big.Int) bool {
	residue := new(big.Int)
	for i, prime := range rocaPrimes {
		if !rocaResidues[i][residue.Mod(n, big.NewInt(prime)).Int64()] {
			return false
		}
	}
	return true
}
