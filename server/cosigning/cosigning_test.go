package cosigning

import (
	"context"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/provenance/witness"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
	"golang.org/x/mod/sumdb/note"
)

// witnessed is a book and a witness of it that answers over HTTP.
type witnessed struct {
	t       *testing.T
	store   storage.Store
	book    *provenance.Book
	witness *witness.Witness
	asked   atomic.Int32
	asker
}

func newWitnessed(t *testing.T) *witnessed {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w := &witnessed{t: t}
	w.store = engines.New(t)
	var err error
	w.book, err = provenance.NewBook(w.store, "https://registry.example")
	must(err)
	keys, err := provenance.GenerateKeys()
	must(err)
	must(w.book.Begin(t.Context(), keys))
	path := filepath.Join(t.TempDir(), "witness.json")
	must(witness.Create(path, "witness.example"))
	w.witness, err = witness.Open(path)
	must(err)
	t.Cleanup(func() { w.witness.Close() })
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		w.witness.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	configured, err := ParseWitnesses([]string{w.witness.VKey() + " " + server.URL + "/"})
	must(err)
	w.asker = asker{book: w.book, witness: configured[0], client: server.Client(), again: time.Hour}
	return w
}

// TestWitnessCA asks a witness whose certificate is of a CA of one's own.
func TestWitnessCA(t *testing.T) {
	t.Parallel()
	w := newWitnessed(t)
	server := httptest.NewTLSServer(w.witness)
	t.Cleanup(server.Close)
	w.push(3)
	w.know()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	line := w.witness.VKey() + " " + server.URL
	for line, says := range map[string]string{
		line: "unknown authority", line + " " + ca: "", line + " nowhere.pem": "no such file", line + " asker.go": "holds no PEM",
		line + " " + ca + " more": "KEY URL CA", "": "each is KEY",
	} {
		configured, err := ParseWitnesses([]string{line})
		if err == nil {
			a := asker{book: w.book, witness: configured[0], client: configured[0].client()}
			err = a.ask(t.Context())
		}
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", line, err, says)
		}
	}
}

// push adds records.
func (w *witnessed) push(n int) {
	w.t.Helper()
	for range n {
		err := w.store.Update(context.Background(), func(tx storage.Tx) error {
			_, err := w.book.Append(tx, provenance.Event{Action: provenance.Push, Repository: "team/app", Digest: digest.FromString("x")})
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// want asks the witness, and wants so many requests and a cosigned checkpoint of that size.
func (w *witnessed) want(requests int32, size string) {
	w.t.Helper()
	w.asked.Store(0)
	if err := w.ask(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	if got := w.asked.Load(); got != requests {
		w.t.Errorf("%d requests, want %d", got, requests)
	}
	signed, err := w.book.CosignedCheckpoint(context.Background(), "", "")
	if err != nil || !strings.Contains(signed, "\n"+size+"\n") || !strings.Contains(signed, "\n— witness.example ") {
		w.t.Errorf("want a cosigned checkpoint of %s leaves: %v\n%s", size, err, signed)
	}
}

// know tells the witness the log's key.
func (w *witnessed) know() {
	w.t.Helper()
	logs, err := w.book.Logs(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.witness.Add(receipt.Log{Origin: logs[0].Origin, Key: logs[0].Key}.VKey()); err != nil {
		w.t.Fatal(err)
	}
}

// TestAskWitnessAgain has a log that does not grow cosigned again and again, and wants the newest time to be served.
func TestAskWitnessAgain(t *testing.T) {
	t.Parallel()
	w := newWitnessed(t)
	w.push(3)
	w.know()
	w.want(1, "3")
	w.again = 0
	w.want(1, "3")
	w.again = time.Hour
	w.want(0, "3")
	served := func() int64 {
		t.Helper()
		signed, err := w.book.CosignedCheckpoint(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		n, err := note.Open([]byte(signed), note.VerifierList(w.asker.witness))
		if err != nil || len(n.Sigs) != 1 {
			t.Fatal(err, signed)
		}
		at, err := torchwood.CosignatureTimestamp(n.Sigs[0])
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	first := served()
	w.again = 100 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.loop(ctx, time.Millisecond, slog.New(slog.DiscardHandler)); close(ended) }()
	for deadline := time.Now().Add(time.Minute); served() == first && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
	}
	stop()
	<-ended
	if served() <= first {
		t.Error("a log that does not grow is served with the time of its first cosignature")
	}
}

// TestAskWitness follows a log as it grows, over restarts of the registry and a stranger to the witness.
func TestAskWitness(t *testing.T) {
	t.Parallel()
	w := newWitnessed(t)
	w.push(3)
	if err := w.ask(t.Context()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a witness that does not know the log: %v", err)
	}
	w.know()
	w.want(1, "3")
	w.want(0, "3")
	w.push(300)
	w.want(1, "303")
	w.size = 0 // a restart: what it cosigned last has to be asked for
	w.push(1)
	w.want(2, "304")
	w.size = 0
	w.want(2, "304")
}

// TestBadWitness keeps nothing of a witness that answers with another signature, or too much.
func TestBadWitness(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"another signature": "— witness.example AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
		"nothing":           "",
		"a lot":             strings.Repeat("x", 100<<10),
	} {
		w := newWitnessed(t)
		w.push(1)
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = rw.Write([]byte(answer))
		}))
		w.asker.witness.url = server.URL
		if err := w.ask(t.Context()); !errors.Is(err, provenance.ErrNotCosigned) {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
		if signed, err := w.book.CosignedCheckpoint(t.Context(), "", ""); err == nil {
			t.Errorf("%s is kept: %s", name, signed)
		}
	}
}

func TestWitnessConfig(t *testing.T) {
	t.Parallel()
	const vkey = "w.example/1+c1c8dd7d+BKq/fSbmL8ecdOS89HVYmQJU06jrEjCBH+0xSMSukNhp"
	for line, good := range map[string]bool{
		vkey: true, vkey + " https://witness.example/w": true, " " + vkey + "  http://127.0.0.1:80 ": true,
		"": false, "witness.example": false, vkey[:20]: false, vkey + " witness.example": false, vkey + " http://witness.example": false,
	} {
		if _, err := ParseWitnesses([]string{line}); (err == nil) != good {
			t.Errorf("%q: %v", line, err)
		}
	}
}
