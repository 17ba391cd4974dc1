package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// DockerLogins is where docker keeps its logins: its credential helper, where it has one, or its file.
func DockerLogins() (*credentials.DynamicStore, error) {
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{AllowPlaintextPut: true, DetectDefaultNativeStore: true})
	if err != nil {
		return nil, away("docker's logins: %w", err)
	}
	return store, nil
}

// SignIn makes the requests that follow those of somebody: with a name and a password, or with a token got
// for a refresh token. keptBy says who keeps the login, as StoredLogin does, where somebody does: an error names them.
func (c *Client) SignIn(ctx context.Context, login auth.Credential, keptBy string) error {
	c.User, c.keptBy = login.Username, keptBy
	if login.RefreshToken == "" {
		// An empty login says that there is none, and asks for what strangers see.
		c.sign = func(r *http.Request) { r.SetBasicAuth(login.Username, login.Password) }
		return nil
	}
	got, err := c.askToken(ctx, url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {login.RefreshToken}, "scope": {"hallmark:account:*"},
	})
	c.sign = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+got.AccessToken) }
	return err
}

// RefreshToken gets a refresh token for a name and a password, or "" where the registry gives none.
func (c *Client) RefreshToken(ctx context.Context, login auth.Credential) (string, error) {
	got, err := c.askToken(ctx, url.Values{
		"grant_type": {"password"}, "username": {login.Username}, "password": {login.Password}, "access_type": {"offline"},
	})
	return got.RefreshToken, err
}

// gotToken is the answer of /token.
type gotToken struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

// askToken asks /token with a form.
func (c *Client) askToken(ctx context.Context, form url.Values) (got gotToken, err error) {
	form.Set("client_id", "hallmark")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Base+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return got, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.http.Do(r)
	if err != nil {
		return got, c.explain(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return got, away("%s: %w", c.Base, err)
	}
	if resp.StatusCode != http.StatusOK {
		var answer struct {
			Description string `json:"error_description"`
		}
		if json.Unmarshal(data, &answer) != nil || answer.Description == "" {
			answer.Description = c.Base + " answers " + resp.Status
		}
		if resp.StatusCode == http.StatusUnauthorized {
			return got, c.refusedLogin(Refused, answer.Description)
		}
		return got, away("%s", answer.Description)
	}
	if err := json.Unmarshal(data, &got); err != nil || got.AccessToken == "" {
		return got, away("%s answers with something else than a token", c.Base)
	}
	return got, nil
}
