package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"signet/issuer/oauth"
	"signet/keystore"
)

// Client is what may be told of an OAuth client. Its secrets are known to nobody
// here; of each there is only when it was made.
type Client struct {
	ID        string      `json:"client_id"`
	Grants    []string    `json:"grants"`
	Scopes    []string    `json:"scopes,omitempty"`
	Audiences []string    `json:"audiences,omitempty"`
	Alg       string      `json:"alg,omitempty"`
	Created   time.Time   `json:"created"`
	Secrets   []time.Time `json:"secrets,omitempty"`
	// Keys is the JWK Set of a client that authenticates with private_key_jwt.
	Keys json.RawMessage `json:"jwks,omitempty"`
}

func viewClient(c oauth.Client) Client {
	view := Client{ID: c.ID, Grants: c.Grants, Scopes: c.Scopes, Audiences: c.Audiences, Alg: c.Alg, Created: c.Created, Keys: c.Keys}
	for _, s := range c.Secrets {
		view.Secrets = append(view.Secrets, s.Created)
	}
	return view
}

// Registration asks for a new client.
type Registration struct {
	ID        string   `json:"client_id"`
	Grants    []string `json:"grants,omitempty"`
	Scopes    []string `json:"scopes,omitempty"`
	Audiences []string `json:"audiences,omitempty"`
	Alg       string   `json:"alg,omitempty"`
	// Keys are public keys, as a JWK, a JWK Set or PEM: the client then has no secret.
	Keys string `json:"keys,omitempty"`
}

// ClientID names a client.
type ClientID struct {
	ID string `json:"client_id"`
}

// SecretRequest asks for another secret, where Only ends those before; or for Keys in
// place of all.
type SecretRequest struct {
	ID   string `json:"client_id"`
	Only bool   `json:"only,omitempty"`
	Keys string `json:"keys,omitempty"`
}

// ClientSecret is a client with a secret that is shown this once; a client with keys
// has none.
type ClientSecret struct {
	Client Client `json:"client"`
	Secret string `json:"client_secret,omitempty"`
}

// ClientList is a page of clients; Next is the place of the next page, empty at the
// end.
type ClientList struct {
	Clients []Client `json:"clients"`
	Next    string   `json:"next,omitempty"`
}

func (r Registration) target() string  { return r.ID }
func (c ClientID) target() string      { return c.ID }
func (r SecretRequest) target() string { return r.ID }

func (o *Operator) addClient(ctx context.Context, in Registration) (ClientSecret, error) {
	if in.Alg != "" && !slices.Contains(o.Keys.Policy().Algorithms, in.Alg) {
		return ClientSecret{}, noAlgorithm(in.Alg, o.Keys.Policy().Algorithms)
	}
	keys, err := clientKeys(in.Keys)
	if err != nil {
		return ClientSecret{}, err
	}
	c, secret, err := o.Clients.Add(ctx, oauth.Client{
		ID: in.ID, Grants: in.Grants, Scopes: in.Scopes, Audiences: in.Audiences, Alg: in.Alg, Keys: keys,
	}, o.Issuer.URL())
	return ClientSecret{Client: viewClient(c), Secret: secret}, err
}

func clientKeys(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	return oauth.ParseClientKeys([]byte(text))
}

func (o *Operator) listClients(ctx context.Context, in Page) (ClientList, error) {
	found, err := o.Clients.List(ctx, in.After, in.limit())
	list := ClientList{Clients: make([]Client, 0, len(found))}
	for _, c := range found {
		list.Clients = append(list.Clients, viewClient(c))
	}
	if len(found) == in.limit() {
		list.Next = found[len(found)-1].ID
	}
	return list, err
}

func (o *Operator) showClient(ctx context.Context, in ClientID) (Client, error) {
	c, err := o.Clients.Get(ctx, in.ID)
	return viewClient(c), err
}

func (o *Operator) newSecret(ctx context.Context, in SecretRequest) (ClientSecret, error) {
	if in.Keys != "" {
		keys, err := clientKeys(in.Keys)
		if err != nil {
			return ClientSecret{}, err
		}
		c, err := o.Clients.SetKeys(ctx, in.ID, keys)
		return ClientSecret{Client: viewClient(c)}, err
	}
	c, secret, err := o.Clients.NewSecret(ctx, in.ID, in.Only)
	return ClientSecret{Client: viewClient(c), Secret: secret}, err
}

func (o *Operator) removeClient(ctx context.Context, in ClientID) (ClientID, error) {
	return in, o.Clients.Remove(ctx, in.ID)
}

func noAlgorithm(alg string, configured []string) error {
	return fmt.Errorf("%w: %.20q is not among keys.algorithms (%v)", keystore.ErrAlgorithm, alg, configured)
}
