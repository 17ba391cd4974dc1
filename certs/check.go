package certs

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// endsSoon is how long before its end somebody is told of a certificate of their own. Ours is made anew by itself.
const endsSoon = 30 * 24 * time.Hour

// Check looks at the certificates that a server with this configuration would show, and changes nothing. It returns what
// would keep the server from starting, or clients from trusting it, and what is worth a look.
func Check(c Config) (wrong, warning error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.CertFile != "" {
		return checkOwn(c)
	}
	names, err := ParseNames(c.Hosts...)
	if err != nil {
		return err, nil
	}
	ca, err := loadAuthority(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the first start makes it
	}
	if err != nil {
		return err, nil
	}
	if err := ca.allows(names); err != nil {
		return fmt.Errorf("%w: `hallmark cert renew --ca` makes a new authority, which every client has to trust anew", err), nil
	}
	return nil, nil
}

func checkOwn(c Config) (wrong, warning error) {
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return err, nil
	}
	for _, host := range c.Hosts {
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			return fmt.Errorf("%s is not for %s: it is for %s", c.CertFile, host, cmp.Or(strings.Join(namesOf(pair.Leaf).Strings(), ", "), "no name")), nil
		}
	}
	switch left := pair.Leaf.NotAfter.Sub(c.Now()); {
	case left < 0:
		return fmt.Errorf("%s ended at %s: clients refuse it", c.CertFile, pair.Leaf.NotAfter.Format(time.RFC3339)), nil
	case left < endsSoon:
		return nil, fmt.Errorf("%s ends at %s: replace it before", c.CertFile, pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	return nil, nil
}
