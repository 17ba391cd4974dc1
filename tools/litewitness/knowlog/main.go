// Knowlog tells a litewitness of a log: knowlog -db FILE -key NAME+HASH+KEY. It does what `witnessctl add-log` and `add-key`
// do; that program also follows sigsum's logs, and needs a module for it that is not at every proxy.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

func main() {
	db := flag.String("db", "litewitness.db", "the witness's `file`")
	vkey := flag.String("key", "", "the log's `key`, NAME+HASH+KEY")
	flag.Parse()
	if err := know(*db, *vkey); err != nil {
		fmt.Fprintln(os.Stderr, "knowlog:", err)
		os.Exit(1)
	}
}

func know(path, vkey string) error {
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	db, err := sqlite.OpenConn(path, sqlite.OpenReadWrite) // which the witness has made
	if err != nil {
		return err
	}
	defer db.Close()
	empty := sha256.Sum256(nil) // the root hash of a tree without leaves
	root := base64.StdEncoding.EncodeToString(empty[:])
	err = sqlitex.Execute(db, "INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", &sqlitex.ExecOptions{Args: []any{key.Name(), root}})
	if err != nil {
		return err
	}
	return sqlitex.Execute(db, "INSERT INTO key (origin, key) VALUES (?, ?)", &sqlitex.ExecOptions{Args: []any{key.Name(), vkey}})
}
