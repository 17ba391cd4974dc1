package api

import (
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// Over returns a Config that asks the rooms of one registry. What is not of these rooms, the caller adds.
func Over(who *access.Access, images *registry.Registry, book *provenance.Book) Config {
	return Config{
		Gate: who, Accounts: who, Names: book,
		Images: images, Content: images, Holds: images, Layers: images,
		Records: book, Testimonies: book, Origins: book, Proofs: book, Evidence: book, Transparency: book, Cosigner: book,
		Users: who, Grants: who, Teams: who, Robots: who, TagRules: who, Document: who, Sessions: who, Logins: who,
		Scrubber: images, Quotas: images, Puller: images, Trash: images,
		Checks: Checks{Records: book.Check, Accounts: who.Check, Images: images.Check},
	}
}
