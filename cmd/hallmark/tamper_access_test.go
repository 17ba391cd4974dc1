package main

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance/replay"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/crypto/bcrypt"
)

const (
	userRows     = storage.Table("access/user")
	documentRows = storage.Table("access/document")
	sessionRows  = storage.Table("access/session")
	ruleRows     = storage.Table("provenance/rule")
	ruleTexts    = storage.Table("provenance/ruleText")
)

func (h *hands) hashOf(password string) string {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	h.check(err)
	return string(hash)
}

// mallory makes a user that nobody made.
func (h *hands) mallory(credential string) {
	const account = "aaaaaaaaaaaaaaaaaaaaaaaaaa"
	h.put(userRows, []byte("mallory"), h.replaced(h.get(userRows, []byte("bob")), `"name":"bob"`, `"name":"mallory"`))
	h.editJSON(userRows, "mallory", map[string]any{"account": account, "credential": credential, "hash": h.hashOf("i-am-mallory")})
	h.put("access/account", []byte(account), []byte("user:mallory"))
}

// token makes a personal token of alice's that nobody made, or another kind of session.
func (h *hands) token(id, kind string) {
	alice, secret := h.field(userRows, "alice", "account"), sum("the secret")
	row := h.rows(sessionRows, "token-")[0]
	var s map[string]any
	h.check(json.Unmarshal(row.Value, &s))
	s["id"], s["kind"], s["secret"], s["credential"] = id, kind, secret, h.field(userRows, "alice", "credential")
	text, err := json.Marshal(s)
	h.check(err)
	h.put(sessionRows, []byte(id), text)
	h.put("access/sessionSecret", secret, []byte(id))
	h.put("access/sessionOf", []byte(alice+"\x00"+id), nil)
}

// tamperedAccess are tamperings with who may do what.
var tamperedAccess = []tamperRow{
	{name: "a right given", do: func(h *hands) {
		h.edit(documentRows, []byte("document"), `"grants":[`, `"grants":[{"subject":"anonymous","pattern":"**","role":"pull"},`)
	}},
	{name: "a right widened", do: func(h *hands) { h.edit(documentRows, []byte("document"), `"role":"push"`, `"role":"delete"`) }},
	{name: "a right taken away", do: func(h *hands) {
		h.edit(documentRows, []byte("document"), `{"subject":"team:crew","pattern":"team/**","role":"pull"},`, "")
	}},
	{name: "a team with another member", do: func(h *hands) {
		h.edit(documentRows, []byte("document"), h.field(userRows, "bob", "account"), h.field(userRows, "alice", "account"))
	}},
	{name: "an immutable rule taken away", do: func(h *hands) {
		text := string(h.get(documentRows, []byte("document")))
		before, rest, _ := strings.Cut(text, `,"immutable":[`)
		_, after, _ := strings.Cut(rest, "]")
		h.put(documentRows, []byte("document"), []byte(before+after))
	}},
	{name: "the version of the access document", do: func(h *hands) { h.put(documentRows, []byte("version"), recordKey(3)) }},
	{name: "the access document made unreadable", do: func(h *hands) { h.put(documentRows, []byte("document"), []byte("{")) }},
	{name: "the access document taken away, and an administrator of an older version", do: func(h *hands) {
		h.editJSON(userRows, "alice", map[string]any{"admin": true})
		h.del(documentRows, []byte("document"), []byte("version"))
	}},
	{name: "the policy document changed", do: func(h *hands) { h.edit(ruleTexts, h.rows(ruleTexts, "policy")[0].Key, "graded", "greyed") }},
	{name: "the policy document changed, with its digest", do: func(h *hands) {
		key := h.rows(ruleTexts, "policy")[0].Key
		h.edit(ruleTexts, key, "graded", "greyed")
		was, is := digest.FromString(tamperPolicy).String(), digest.FromString(strings.Replace(tamperPolicy, "graded", "greyed", 1)).String()
		h.edit(ruleRows, key, was, is)
		h.edit(ruleRows, []byte("now"), was, is)
	}},
	{name: "the policy document taken away", do: func(h *hands) { h.empty(ruleRows, ruleTexts) }},
	{name: "another password", do: func(h *hands) { h.editJSON(userRows, "admin", map[string]any{"hash": h.hashOf("i-am-mallory")}) }},
	{name: "another password, under its own id", do: func(h *hands) {
		hash := h.hashOf("i-am-mallory")
		h.editJSON(userRows, "admin", map[string]any{"hash": hash, "credential": h.credential("admin", hash)})
	}},
	{name: "another password, under an id of an older version", do: func(h *hands) {
		h.editJSON(userRows, "admin", map[string]any{"hash": h.hashOf("i-am-mallory"), "credential": "p-1"})
	}},
	{name: "a user that nobody made", do: func(h *hands) { h.mallory("p-1") }},
	{name: "a user that nobody made, in a store said to be older", do: func(h *hands) {
		h.mallory("p-1")
		h.put(recordsHead, []byte("chained"), recordKey(1))
	}},
	{name: "a user that nobody made, in a store said to have no newer records", do: func(h *hands) {
		h.mallory("p-1")
		h.put(recordsHead, []byte("chained"), recordKey(logFirst+leaves))
	}},
	{name: "a user taken out", do: func(h *hands) {
		h.del("access/account", []byte(h.field(userRows, "bob", "account")))
		h.del(userRows, []byte("bob"))
	}},
	{name: "the account of another user", do: func(h *hands) {
		h.editJSON(userRows, "alice", map[string]any{"account": h.field(userRows, "admin", "account")})
	}},
	{name: "an account of nobody", do: func(h *hands) { h.put("access/account", []byte("stray"), []byte("user:admin")) }},
	{name: "the secret of a robot", do: func(h *hands) {
		h.editJSON("access/robot", "engine", map[string]any{"hash": base64.StdEncoding.EncodeToString(sum("x"))})
	}},
	{name: "the secret of a robot, under its own id", do: func(h *hands) {
		hash := sum("x")
		ends := h.field("access/robot", "engine", "expires")
		id := h.credentialOf(h.field("access/robot", "engine", "account"), string(hash)+"\x00until "+ends)
		h.editJSON("access/robot", "engine", map[string]any{"hash": base64.StdEncoding.EncodeToString(hash), "credential": id})
	}},
	{name: "a robot's secret that ends later", do: func(h *hands) { h.edit("access/robot", []byte("engine"), `"expires":"2`, `"expires":"3`) }},
	{name: "a robot that nobody made", do: func(h *hands) {
		const account = "bbbbbbbbbbbbbbbbbbbbbbbbbb"
		h.put("access/robot", []byte("mallet"), h.replaced(h.get("access/robot", []byte("engine")), `"name":"engine"`, `"name":"mallet"`))
		h.editJSON("access/robot", "mallet", map[string]any{"account": account})
		h.put("access/account", []byte(account), []byte("robot:mallet"))
	}},
	{name: "a second name for an account", do: func(h *hands) {
		hash := h.hashOf("i-am-mallory")
		h.put(userRows, []byte("admin2"), h.get(userRows, []byte("admin")))
		h.editJSON(userRows, "admin2", map[string]any{"name": "admin2", "hash": hash, "credential": h.credential("admin", hash)})
	}},
	{name: "two accounts swapped", do: func(h *hands) {
		alice, bob := []byte(h.field(userRows, "alice", "account")), []byte(h.field(userRows, "bob", "account"))
		h.put("access/account", alice, []byte("user:bob"))
		h.put("access/account", bob, []byte("user:alice"))
	}},
	{name: "a token of another owner", do: func(h *hands) {
		row := h.rows(sessionRows, "token-")[0]
		h.edit(sessionRows, row.Key, h.field(userRows, "alice", "account"), h.field(userRows, "admin", "account"))
	}},
	{name: "an immutable rule for fewer tags", do: func(h *hands) { h.edit(documentRows, []byte("document"), `"v*"`, `"v2"`) }},
	{name: "a robot taken out", do: func(h *hands) { h.del("access/robot", []byte("engine")) }},
	{name: "a token that nobody made", do: func(h *hands) { h.token("token-s-aaaaaaaaaaaaaaaaaaaaaaaaaa", "token") }},
	{name: "a token that nobody made, under an id of an older version", do: func(h *hands) { h.token("token-1", "token") }},
	{name: "a token with a wider scope", do: func(h *hands) {
		row := h.rows(sessionRows, "token-")[0]
		h.edit(sessionRows, row.Key, `["pull"]`, `["pull","push"]`)
	}},
	{name: "a token that ends later", do: func(h *hands) {
		row := h.rows(sessionRows, "token-")[0]
		h.edit(sessionRows, row.Key, `"expires":"2`, `"expires":"3`)
	}},
	{name: "a token under another secret", do: func(h *hands) {
		row := h.rows("access/sessionSecret", "")[0]
		h.del("access/sessionSecret", row.Key)
		h.put("access/sessionSecret", sum("x"), row.Value)
	}},
	{name: "a token that is not among those of its owner", do: func(h *hands) { h.del("access/sessionOf", h.rows("access/sessionOf", "")[0].Key) }},
	{
		name: "a login that nobody made", unseen: "logins are not on record: what is done with one names it",
		do: func(h *hands) { h.token("login-aaaaaaaaaaaaaaaaaaaaaaaaaa", "login") },
	},
	{
		name: "a login of a browser that nobody made", unseen: "logins are not on record: what is done with one names it",
		do: func(h *hands) { h.token("web-aaaaaaaaaaaaaaaaaaaaaaaaaa", "web") },
	},
	{name: "a key of bearer tokens put into the store", do: func(h *hands) { h.put(bearerRows, []byte("bearer"), sum("x")) }},
	{
		name: "when something was last used", unseen: "it names addresses, so it has to be erasable",
		do: func(h *hands) {
			h.put("access/use", []byte(h.field(userRows, "alice", "account")), []byte(`{"time":"2020-01-01T00:00:00Z","address":"192.0.2.1"}`))
		},
	},
	{name: "a list of accounts that were found, which is not on record", do: func(h *hands) { h.put("access/baseline", []byte("list"), []byte("[]")) }},
}

// credential is the id that a password of a user has.
func (h *hands) credential(user, hash string) string {
	return h.credentialOf(h.field(userRows, user, "account"), hash)
}

func (h *hands) credentialOf(account, stored string) string {
	s := sum("hallmark credential\x00" + account + "\x00" + stored)
	return replay.HashedPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(s)[:26])
}
