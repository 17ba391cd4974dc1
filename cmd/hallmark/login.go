package main

import (
	"context"
	"errors"
	"fmt"

	ask "github.com/seed-260924e6/hallmark/client"
	"github.com/spf13/cobra"
	"oras.land/oras-go/v2/registry/remote/auth"
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
	c := &cobra.Command{
		Use: "logout [SERVER]", Short: "Sign out of a registry, here and on the server", Args: cobra.MaximumNArgs(1),
		Long: "Sign out of a registry: the logins that docker and podman keep are forgotten, and their sessions ended on the server.",
	}
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

// loginAt is a registry to which somebody signs in, or out of which.
type loginAt struct {
	*target
	client *client
	host   string
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
	return fn(ctx, loginAt{t, cl, host})
}

func (e *env) runLogin(ctx context.Context, at loginAt) error {
	store, err := ask.DockerLogins()
	if err != nil {
		return status(err)
	}
	given, err := e.givenLogin(at.target)
	if err != nil {
		return err
	}
	refresh, err := at.client.RefreshToken(ctx, given)
	if err != nil {
		return status(err)
	}
	if refresh != "" {
		given.Password, given.RefreshToken = "", refresh
	}
	if err := store.Put(ctx, at.host, given); err != nil {
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

// runLogout forgets all logins that docker and podman keep. What fails keeps nothing else from it.
func (e *env) runLogout(ctx context.Context, at loginAt) error {
	kept, err := ask.KeptLogins(ctx, e.getenv, at.host)
	if err == nil && len(kept) == 0 {
		return nof("there is no login to %s", at.host)
	}
	err = status(err)
	for _, login := range kept {
		err = errors.Join(err, at.signOut(ctx, login))
	}
	if err == nil {
		fmt.Fprintf(e.stdout, "signed out of %s\n", at.host)
	}
	return err
}

// signOut forgets a login, and ends its session. It is forgotten here first: if we stop then, what is left at the registry
// ends by itself, and nobody has it.
func (at loginAt) signOut(ctx context.Context, kept *ask.KeptLogin) error {
	if err := kept.Forget(ctx); err != nil {
		return status(err)
	}
	if kept.RefreshToken == "" {
		return nil
	}
	err := status(at.client.SignIn(ctx, kept.Credential, ""))
	if err == nil {
		err = at.client.send(ctx, "DELETE", "/api/v1/access/sessions/current", nil, nil)
	}
	if err != nil && !errors.As(err, new(ask.LoginError)) { // which says that it had ended there already
		return askf("the login is forgotten here, but the registry could not be told: %w", err)
	}
	return nil
}
