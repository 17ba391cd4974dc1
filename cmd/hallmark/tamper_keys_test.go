package main

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/keyring"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
)

// tamperedWithKeys are what the operator can do, who has the keys.
var tamperedWithKeys = []tamperRow{
	{name: "a record changed and signed again", image: "team/web:1", do: func(h *hands) { h.restate(pushWeb, true, `"handle":"admin"`, `"handle":"alice"`) }},
	{name: "the newest record changed and signed again", image: "team/web:2", do: func(h *hands) { h.restate(pushLast, true, `"handle":"admin"`, `"handle":"alice"`) }},
	{name: "a record changed, and the log made anew", image: "team/web:1", do: func(h *hands) { h.rewrite(pushWeb) }},
	{name: "a record changed, the log made anew, and keys/log.checkpoint", image: "team/web:1", do: func(h *hands) {
		h.rewrite(pushWeb)
		h.beside()
	}},
	{name: "the same, without the cosignatures", image: "team/web:1", do: func(h *hands) {
		h.empty("log/cosignature", "log/witness")
		h.rewrite(pushWeb)
		h.beside()
	}},
	{name: "a record taken out, and the later one moved up", image: "team/web:2", do: func(h *hands) {
		h.state(pushWeb, h.replaced(h.replaced(h.statement(pushLast), `"index":25,`, `"index":24,`), `"leaf":13}`, `"leaf":12}`))
		h.sign(pushWeb, h.statement(pushWeb))
		h.drop(pushLast)
		h.empty("log/cosignature", "log/witness")
		h.rebuild(leaves - 1)
		h.beside()
	}},
	{name: "the log cut where it was signed, and keys/log.checkpoint", do: func(h *hands) {
		h.back(leaves - 1)
		h.beside()
	}},
	{name: "the key of records of another registry", unseen: "`fsck` asks for no key: what is stored is not changed; a start says which key is missing", do: func(h *hands) {
		pem, err := newKeys(h.t).Receipts[0].PEM()
		h.check(err)
		h.write(filepath.Join(keysDir, "receipt.pem"), string(pem))
	}},
	{name: "the key of the log taken away", unseen: "`fsck` asks for no key: what is stored is not changed; a start says which key is missing", do: func(h *hands) { h.check(os.Remove(filepath.Join(h.dir, keysDir, "log.pem"))) }},
	{
		name: "the next keys, for bearer tokens and stored reports", unseen: "the next start takes them: bearer tokens end, and reports are computed again",
		do: func(h *hands) {
			h.write(filepath.Join(keysDir, "bearer-next.key"), string(sum("x")))
			h.write(filepath.Join(keysDir, "kept-next.key"), string(sum("y")))
		},
	},
	{
		name:   "what was thought of an image, forged with its key",
		unseen: "it is an opinion, and follows from no record: `hallmark inspect` forms another from the image itself",
		do:     func(h *hands) { h.keep("three", h.macKey(keptKeyFile), h.macKey(keptKeyFile)) },
	},
	{name: "a push by a password that nobody set", image: "team/web:2", run: func(b *tamperStore, t *testing.T, dir string) {
		b.inventBy(t, dir, &provenance.Login{Method: "token", Identity: "alice", Credential: "login-x", RestsOn: "s-x"})
	}},
	{name: "a push by a token that nobody made", image: "team/web:2", run: func(b *tamperStore, t *testing.T, dir string) {
		b.inventBy(t, dir, &provenance.Login{Method: "token", Identity: "alice", Credential: "token-s-x"})
	}},
	{
		name: "a push that never happened", image: "team/web:2", run: (*tamperStore).invent,
		unseen: "the keys sign whatever their holder wants: `hallmark audit --identity me` shows it to the one who is said to have done it",
	},
}

// rewrite changes a record, and makes the log anew over it.
func (h *hands) rewrite(index uint64) {
	h.restate(index, true, `"handle":"admin"`, `"handle":"alice"`)
	h.rebuild(leaves)
}

// invent puts a push of alice's on record that never happened, by what the program is made of.
func (b *tamperStore) invent(t *testing.T, dir string) { b.inventBy(t, dir, nil) }

// inventBy is invent of a push for which somebody is said to have signed in.
func (b *tamperStore) inventBy(t *testing.T, dir string, login *provenance.Login) {
	t.Helper()
	store, err := bolt.Open(filepath.Join(dir, storeFile), bolt.Config{Steps: datadir.Layouts})
	b.must(t, err)
	book, err := provenance.NewBook(store, b.url)
	b.must(t, err)
	keys, err := keyring.New(nil, filepath.Join(dir, keysDir), config.Keys{}, nil).Read()
	b.must(t, err)
	b.must(t, book.Begin(t.Context(), keys))
	d := b.digestOf("web")
	err = store.Update(t.Context(), func(tx storage.Tx) error {
		alice := provenance.Identity{Actor: provenance.Actor{Kind: provenance.User, Handle: "alice"}, Login: login}
		r, err := book.Append(tx, provenance.Event{Action: provenance.Push, Repository: "team/web", Digest: d, Manifest: provenance.ManifestAgain, Who: alice})
		if err == nil {
			h := &hands{t: t, b: b, tx: tx, touched: make(map[storage.Table]bool)}
			h.put("registry/evidence", place("team/web", h.key("web")), binary.AppendUvarint(nil, r.Index))
		}
		return err
	})
	b.must(t, errors.Join(err, store.Close()))
}
