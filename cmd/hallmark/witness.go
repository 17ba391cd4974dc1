package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"time"

	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/provenance/witness"
	"github.com/spf13/cobra"
)

// witnessFlags say what a witness does.
type witnessFlags struct {
	state, name       string
	logs              []string
	every             string
	listen, cert, key string
	ca                string
}

// witness is the verb `hallmark witness`.
func (e *env) witness() *cobra.Command {
	c := &cobra.Command{
		Use: "witness [REGISTRY]...", Short: "Cosign the checkpoints of other people's logs",
		Long: "Cosign the newest checkpoint of each registry, after checking that it continues the last one that was\n" +
			"cosigned, and hand the cosignature back to it. Run it from time to time on a laptop or in a CI job that\n" +
			"keeps the state file, or for ever with --every. With --listen it answers as a C2SP tlog-witness.\n\n" +
			"A registry that closed its log, after a restore or a theft, is followed into the next one if the end has no\n" +
			"fewer leaves than were cosigned. Else somebody has to ask its operator, and name the new log by --log.\n\n" +
			"The state file holds the witness's key and what it has seen. Keep both together and secret: a witness\n" +
			"that is put back to an older state may cosign a second history.",
		Example: "  hallmark witness --name witness.example/w1                 make a witness, print its key\n" +
			"  hallmark witness https://registry.example                  cosign, once\n" +
			"  hallmark witness --listen 127.0.0.1:8080 --log one.example+1f0c2a4b+AU…",
	}
	var f witnessFlags
	c.Flags().StringVar(&f.state, "state", "", "the witness's `file` (default hallmark/witness.json among the user's configuration)")
	c.Flags().StringVar(&f.name, "name", "", "make a new witness with this `name`, as witness.example/w1")
	c.Flags().StringArrayVar(&f.logs, "log", nil, "know the log with this `key`, NAME+HASH+KEY, before a registry names it; may be repeated")
	c.Flags().StringVar(&f.every, "every", "", "go on, and cosign after each such `time`: 5m, 1h")
	c.Flags().StringVar(&f.listen, "listen", "", "answer as a C2SP tlog-witness on this `address`")
	c.Flags().StringVar(&f.cert, "tls-cert", "", "certificate `file` for --listen; without one it is a loopback address, behind a proxy")
	c.Flags().StringVar(&f.key, "tls-key", "", "key `file` for --listen")
	c.Flags().StringVar(&f.ca, "ca", "", "`file` of the certificate authority of the registries")
	c.RunE = func(c *cobra.Command, registries []string) error {
		return e.runWitness(c.Context(), f, registries)
	}
	return c
}

func (e *env) runWitness(ctx context.Context, f witnessFlags, registries []string) error {
	every, err := f.interval()
	if err != nil {
		return err
	}
	w, err := e.openWitness(f)
	if err != nil {
		return err
	}
	defer w.Close() //nolint:errcheck // it only lets go of a lock
	for _, vkey := range f.logs {
		if err := w.Add(vkey); err != nil {
			return usagef("--log: %w", err)
		}
	}
	if len(registries) == 0 && f.listen == "" {
		return e.describeWitness(w)
	}
	failed, stop, err := e.serveWitness(f, w)
	if err != nil {
		return err
	}
	defer stop()
	for {
		err := e.cosignAll(ctx, f, w, registries)
		if every == 0 && f.listen == "" {
			return err
		}
		if err != nil {
			complain(e.stderr, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return askf("--listen: %w", err)
		case <-tick(every):
		}
	}
}

func (f witnessFlags) interval() (time.Duration, error) {
	var d units.Duration
	if f.every == "" {
		return 0, nil
	}
	if err := d.UnmarshalText([]byte(f.every)); err != nil || d <= 0 {
		return 0, usagef("--every %q is no length of time, as 5m or 1h", f.every)
	}
	return time.Duration(d), nil
}

// tick fires after a time; never, where that is 0.
func tick(every time.Duration) <-chan time.Time {
	if every == 0 {
		return nil
	}
	return time.After(every)
}

// openWitness opens the witness, or makes it when it gets a name.
func (e *env) openWitness(f witnessFlags) (*witness.Witness, error) {
	path, err := e.statePath(f.state, "witness.json")
	if err != nil {
		return nil, err
	}
	if f.name != "" {
		if err := witness.Create(path, f.name); err != nil {
			return nil, usagef("--name: %w", err)
		}
	}
	w, err := witness.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("there is no witness in %s: make one with --name", path)
	case err != nil:
		return nil, askf("%w", err)
	}
	return w, nil
}

// describeWitness prints the key that others demand the witness by, and what it knows.
func (e *env) describeWitness(w *witness.Witness) error {
	fmt.Fprintln(e.stdout, w.VKey())
	for _, origin := range w.Origins() {
		l, err := w.Log(origin)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s: %d leaves\n", clean(origin), l.Size)
	}
	return nil
}

// cosignAll cosigns for each registry, whatever happens at the others.
func (e *env) cosignAll(ctx context.Context, f witnessFlags, w *witness.Witness, registries []string) error {
	var errs []error
	for _, server := range registries {
		t := &target{server: server, ca: f.ca}
		errs = append(errs, e.ask(ctx, t, func(ctx context.Context, cl *client) error { return e.cosign(ctx, cl, w) }))
	}
	return errors.Join(errs...)
}

// cosign cosigns the newest checkpoint of a registry, and hands it back.
func (e *env) cosign(ctx context.Context, cl *client, w *witness.Witness) error {
	logs, err := cl.logs(ctx)
	if err != nil {
		return err
	}
	newest := logs[len(logs)-1]
	if _, err := w.Log(newest.Origin); errors.Is(err, witness.ErrUnknownLog) { // one that a person named is known
		if err := e.followed(ctx, cl, w, logs); err != nil {
			return err
		}
	}
	if err := w.Add(newest.VKey); err != nil {
		return nof("%s: %w", cl.Base, err)
	}
	if err := w.Met(newest.Origin, cl.Base, origins(logs[:len(logs)-1])); err != nil {
		return askf("%s: %w", cl.Base, err)
	}
	remote, err := follow.NewRemote(cl.source, newest.VKey)
	if err != nil {
		return askf("%s: %w", cl.Base, err)
	}
	text, line, err := cosignRemote(ctx, remote, w)
	if err != nil {
		return cannotCosign(cl.Base, err)
	}
	var kept struct{ Size uint64 }
	if err := cl.send(ctx, http.MethodPost, "/log/cosignature", map[string]string{"checkpoint": text + "\n" + line}, &kept); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "cosigned %s at %d leaves\n", clean(newest.Origin), kept.Size)
	return nil
}

// cosignRemote proves that a log's newest checkpoint continues the last one that was cosigned, and cosigns.
// It returns the checkpoint's text and the line of the cosignature.
func cosignRemote(ctx context.Context, remote *follow.Remote, w *witness.Witness) (text, line string, err error) {
	known, err := w.Log(remote.Origin)
	if err != nil {
		return "", "", err
	}
	signed, cp, err := remote.Checkpoint(ctx)
	if err != nil {
		return "", "", err
	}
	if cp.Size < known.Size {
		return "", "", fmt.Errorf("the log %s shows %d leaves, and %d were cosigned: %w", remote.Origin, cp.Size, known.Size, witness.ErrProof)
	}
	proof, err := remote.Consistency(ctx, cp, known.Size)
	if err != nil {
		return "", "", err
	}
	line, err = w.Cosign(known.Size, proof, signed)
	return cp.String(), line, err
}

// cannotCosign tells a registry that contradicts itself from one that gives no answer.
func cannotCosign(base string, err error) error {
	var conflict *witness.ConflictError
	if errors.Is(err, witness.ErrProof) || errors.Is(err, follow.ErrBroken) || errors.As(err, &conflict) {
		return nof("%s: not cosigned. Its history is not the one that was cosigned before: %w", base, err)
	}
	var known exitError
	if errors.As(err, &known) {
		return err
	}
	return askf("%s: not cosigned: %w", base, err)
}

// serveWitness answers others, until stop or until it fails.
func (e *env) serveWitness(f witnessFlags, w *witness.Witness) (failed <-chan error, stop func(), err error) {
	if f.listen == "" {
		return nil, func() {}, nil
	}
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return nil, nil, usagef("--listen: %w", err)
	}
	if f.cert == "" && !peer.Loopback(listener.Addr().String()) {
		return nil, nil, usagef("--listen %s: give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that speaks TLS", f.listen)
	}
	server := &http.Server{
		Handler: w, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	ended := make(chan error, 1)
	go func() {
		if f.cert == "" {
			ended <- server.Serve(listener)
		} else {
			ended <- server.ServeTLS(listener, f.cert, f.key)
		}
	}()
	scheme := "https"
	if f.cert == "" {
		scheme = "http"
	}
	fmt.Fprintf(e.stdout, "hallmark: ready at %s://%s\n", scheme, listener.Addr())
	return ended, func() { _ = server.Close() }, nil // the one who waits for an answer can ask again
}
