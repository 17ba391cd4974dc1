package datadir

import (
	"github.com/seed-260924e6/hallmark/internal/durable"
)

// keptOut are the files by which git and docker leave a directory out. Somebody who tries the registry in their project, and
// builds an image or commits there, would else give its private keys away.
var keptOut = []string{".gitignore", ".dockerignore"}

// keepOut makes them in a directory that holds no registry yet. If we stop before the store is there, the next start makes
// them again.
func (d *Dir) keepOut() error {
	if d.Mode != ToServe || d.isThere() {
		return nil
	}
	for _, name := range keptOut {
		if err := durable.WriteFile(d.File(name), []byte("# The data of a registry, with its private keys.\n*\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}
