package keystore

import "time"

// ClientLeeway is how long after its exp a token is believed at most.
const ClientLeeway = clientLeeway

// Info is what may be told of a key: everything but the key.
type Info struct {
	KID   string `json:"kid"`
	Alg   string `json:"alg"`
	State State  `json:"state"`
	// The instants of its life; zero where none is planned.
	Created        time.Time `json:"created"`
	SignsFrom      time.Time `json:"signs_from,omitzero"`
	SignsUntil     time.Time `json:"signs_until,omitzero"`
	PublishedUntil time.Time `json:"published_until,omitzero"`
	KeptUntil      time.Time `json:"kept_until,omitzero"`
	Revoked        time.Time `json:"revoked,omitzero"`
	// Held: it waits for an operator to give it its turn.
	Held bool `json:"held,omitempty"`
	// PrivateHalf says whether the private half still exists.
	PrivateHalf bool `json:"private_half"`
	// Vault is where the private half lives, if that is not the database.
	Vault string `json:"vault,omitempty"`
}

// Takeover is one key that takes the place of another.
type Takeover struct {
	New Info `json:"new"`
	Old Info `json:"old"`
	// Superseded is the active key that a revocation of another retires.
	Superseded *Info `json:"superseded,omitempty"`
}

func info(k *Key, now time.Time) Info {
	i := Info{
		KID: k.KID, Alg: k.Alg, State: k.State(now),
		Created: k.Created, SignsFrom: k.SignsFrom, SignsUntil: k.SignsUntil,
		PublishedUntil: k.PublishedUntil(), KeptUntil: k.KeptUntil(), Revoked: k.Revoked, Held: k.Held,
		PrivateHalf: k.Sealed != "",
	}
	if inVault(k.Sealed) {
		i.Vault = k.Sealed
	}
	// A turn that is held is not planned, and so neither is what would follow from it.
	if k.Held {
		i.SignsFrom = time.Time{}
	}
	if never(k.SignsUntil, now) {
		i.SignsUntil, i.PublishedUntil, i.KeptUntil = time.Time{}, time.Time{}, time.Time{}
	}
	return i
}

// takeover finds the key whose signing ends where that of kid begins.
func (r *Ring) takeover(kid string, now time.Time) Takeover {
	successor := r.find(kid)
	t := Takeover{New: info(successor, now)}
	for _, k := range r.chain(successor.Alg) {
		if k.KID != kid && k.SignsUntil.Equal(successor.SignsFrom) {
			t.Old = info(k, now)
		}
	}
	return t
}
