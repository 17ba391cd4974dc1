package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/peer"
)

// checkStore refuses what is no URL of a database, and a connection that others could read or take over.
func checkStore(store string) error {
	if store == "" {
		return nil
	}
	u, err := url.Parse(store)
	switch {
	case err != nil: // what is in it may be secret
		return errors.New("store should be the URL of a database, postgres://user@host/database?sslmode=verify-full")
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return fmt.Errorf("store is of %s://, and should be the URL of a PostgreSQL database, postgres://user@host/database?sslmode=verify-full", u.Scheme)
	case strings.Trim(u.Path, "/") == "":
		return errors.New("store names no database: postgres://user@host/database")
	case slices.Contains([]string{"verify-full", "verify-ca"}, u.Query().Get("sslmode")), onThisMachine(u):
		return nil
	}
	return errors.New("store should end in ?sslmode=verify-full, and &sslrootcert=FILE where its certificate authority is not one that the system trusts: records go over TLS, unless the database is on this machine")
}

// onThisMachine says that every host of a URL is this machine: a loopback address, or the directory of a socket.
func onThisMachine(u *url.URL) bool {
	var hosts []string
	if named := u.Query().Get("host"); named != "" {
		hosts = strings.Split(named, ",")
	} else {
		for host := range strings.SplitSeq(u.Host, ",") {
			hosts = append(hosts, (&url.URL{Host: host}).Hostname())
		}
	}
	elsewhere := func(host string) bool { return !strings.HasPrefix(host, "/") && !peer.LoopbackHost(host) }
	return !slices.ContainsFunc(hosts, elsewhere)
}
