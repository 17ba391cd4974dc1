package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// login is the verb `hallmark login`.
func (e *env) login() *cobra.Command {
	c := &cobra.Command{
		Use: "login [SERVER]", Short: "Sign in to a registry, for this command and for docker", Args: cobra.MaximumNArgs(1),
		Long: "Sign in to a registry. The login is kept where docker keeps its own, so docker, podman, oras and others have it\n" +
			"too: for a user's password a refresh token is kept, which ends with `hallmark logout`, and the password is not.",
	}
	t := addTarget(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		server, err := e.serverOf(t, args)
		if err != nil {
			return err
		}
		return e.atRegistry(c.Context(), t, server, e.runLogin)
	}
	return c
}

// logout is the verb `hallmark logout`.
func (e *env) logout() *cobra.Command {
	c := &cobra.Command{Use: "logout [SERVER]", Short: "End the login to a registry, here and there", Args: cobra.MaximumNArgs(1)}
	t := addTarget(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		server, err := e.serverOf(t, args)
		if err != nil {
			return err
		}
		return e.atRegistry(c.Context(), t, server, e.runLogout)
	}
	return c
}

// serverOf is the registry that a login is for.
func (e *env) serverOf(t *target, args []string) (string, error) {
	server := firstOf(t.server, e.getenv("HALLMARK_SERVER"))
	if len(args) > 0 {
		server = args[0]
	}
	if server == "" {
		return "", usagef("which registry? Name it, as registry.example:5443")
	}
	return server, nil
}

// dockerStore is where docker keeps its logins: its credential helper, where it has one, or its file.
func dockerStore() (*credentials.DynamicStore, error) {
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{AllowPlaintextPut: true, DetectDefaultNativeStore: true})
	if err != nil {
		return nil, askf("docker's logins: %w", err)
	}
	return store, nil
}

// loginAt is a registry, and where docker keeps the login to it.
type loginAt struct {
	*target
	client *client
	host   string
	store  *credentials.DynamicStore
}

// atRegistry does something about the login to a registry.
func (e *env) atRegistry(ctx context.Context, t *target, server string, fn func(context.Context, loginAt) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cl, host, err := e.dialRemote(t, server)
	if err != nil {
		return err
	}
	defer cl.close() //nolint:errcheck // what was asked is answered
	store, err := dockerStore()
	if err != nil {
		return err
	}
	return fn(ctx, loginAt{t, cl, host, store})
}

func (e *env) runLogin(ctx context.Context, at loginAt) error {
	given, err := e.givenLogin(at.target)
	if err != nil {
		return err
	}
	got, err := at.client.askToken(ctx, url.Values{
		"grant_type": {"password"}, "username": {given.Username}, "password": {given.Password}, "access_type": {"offline"},
	})
	if err != nil {
		return err
	}
	if got.RefreshToken != "" {
		given.Password, given.RefreshToken = "", got.RefreshToken
	}
	if err := at.store.Put(ctx, at.host, given); err != nil {
		return askf("keeping the login where docker keeps its own: %w", err)
	}
	fmt.Fprintf(e.stdout, "signed in to %s as %s\n", at.host, given.Username)
	return nil
}

// givenLogin is the login from flags, the environment or a person.
func (e *env) givenLogin(t *target) (given auth.Credential, err error) {
	if given.Username = firstOf(t.user, e.getenv("HALLMARK_USER")); given.Username == "" {
		return given, usagef("who are you? Give --user NAME")
	}
	if given.Password = e.getenv("HALLMARK_PASSWORD"); given.Password == "" || t.passwordStdin {
		given.Password, err = e.typedPassword(t, given.Username)
	}
	return given, err
}

func (e *env) runLogout(ctx context.Context, at loginAt) error {
	found, err := at.store.Get(ctx, at.host)
	if err != nil {
		return askf("docker's login for %s: %w", at.host, err)
	}
	if found == auth.EmptyCredential {
		return nof("there is no login to %s", at.host)
	}
	// Forgotten here first: if we stop then, what is left there ends by itself, and nobody has it.
	if err := at.store.Delete(ctx, at.host); err != nil {
		return askf("docker's login for %s: %w", at.host, err)
	}
	if found.RefreshToken != "" {
		if at.client.login, err = at.client.signIn(ctx, found); err == nil {
			err = at.client.send(ctx, "DELETE", "/api/v1/access/sessions/current", nil, nil)
		}
		if err != nil && !errors.As(err, new(loginError)) { // which says that it had ended there already
			return askf("the login is forgotten here, but the registry could not be told: %w", err)
		}
	}
	fmt.Fprintf(e.stdout, "signed out of %s\n", at.host)
	return nil
}

// signIn makes the requests of a client those of somebody: with a name and a password, or with a token got
// for a refresh token.
func (c *client) signIn(ctx context.Context, found auth.Credential) (func(*http.Request), error) {
	if found.RefreshToken == "" {
		return func(r *http.Request) {
			r.SetBasicAuth(found.Username, found.Password) // an empty login says that there is none, and asks for what strangers see
		}, nil
	}
	got, err := c.askToken(ctx, url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {found.RefreshToken}, "scope": {"hallmark:account:*"},
	})
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+got.AccessToken) }, err
}

// gotToken is the answer of /token.
type gotToken struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

// askToken asks /token with a form.
func (c *client) askToken(ctx context.Context, form url.Values) (got gotToken, err error) {
	form.Set("client_id", "hallmark")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return got, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.http.Do(r)
	if err != nil {
		return got, trustHint(c.base, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return got, askf("%s: %w", c.base, err)
	}
	if resp.StatusCode != http.StatusOK {
		var refused struct {
			Description string `json:"error_description"`
		}
		if json.Unmarshal(data, &refused) != nil || refused.Description == "" {
			refused.Description = c.base + " answers " + resp.Status
		}
		if resp.StatusCode == http.StatusUnauthorized {
			return got, exitError{exitNo, loginError{refused.Description}}
		}
		return got, askf("%s", refused.Description)
	}
	if err := json.Unmarshal(data, &got); err != nil || got.AccessToken == "" {
		return got, askf("%s answers with something else than a token", c.base)
	}
	return got, nil
}
