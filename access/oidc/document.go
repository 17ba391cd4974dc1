package oidc

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/internal/yamlfile"
)

// issuersDocument names issuers, as the configuration does.
type issuersDocument struct {
	OIDC []Issuer `yaml:"oidc"`
	// Files are the contents of files that are named above, by their names there.
	Files map[string]yamlfile.Word `yaml:"files"`
}

// maxFile bounds a file of issuers, and each that it names, in bytes.
const maxFile = 1 << 20

// Parse reads a document of issuers that holds all files which it names. Its name stands in errors, with the line.
func Parse(name string, data []byte) ([]Issuer, error) {
	issuers, _, err := parseDocument(name, data, "")
	return issuers, err
}

// Gather reads a file of issuers, and returns it as a document that holds the files which it names. The same files give the same document.
func Gather(path string) ([]byte, error) {
	data, err := yamlfile.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	_, beside, err := parseDocument(path, data, filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	whole, err := yamlfile.WithFiles(path, data, beside)
	if err == nil {
		_, err = Parse(path, whole)
	}
	return whole, err
}

// parseDocument reads a document. Files that are not in it are read from a directory, and returned, unless dir is "".
func parseDocument(name string, data []byte, dir string) (issuers []Issuer, beside map[string][]byte, err error) {
	var d issuersDocument
	if err := yamlfile.Load(name, data, &d); err != nil {
		return nil, nil, err
	}
	var at struct {
		OIDC []struct {
			Issuer yamlfile.Word `yaml:"issuer"`
		} `yaml:"oidc"`
	}
	yamlfile.LoadSome(data, &at)
	beside = map[string][]byte{}
	for n, i := range d.OIDC {
		if err := i.hold(d.Files, dir, beside); err != nil {
			return nil, nil, fmt.Errorf("%s:%d: issuer %q: ca: %w", name, at.OIDC[n].Issuer.Line, i.URL, err)
		}
		d.OIDC[n] = i
		if _, err := New(d.OIDC[:n+1], time.Now); err != nil {
			return nil, nil, fmt.Errorf("%s:%d: %w", name, at.OIDC[n].Issuer.Line, err)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(d.Files)) {
		if !slices.ContainsFunc(d.OIDC, func(i Issuer) bool { return i.CA == file }) {
			return nil, nil, fmt.Errorf("%s:%d: nothing names the file %.200q: take it out", name, d.Files[file].Line, file)
		}
	}
	return d.OIDC, beside, nil
}

// hold has an issuer hold the certificate of its authority, from the document or from beside it.
func (c *Issuer) hold(files map[string]yamlfile.Word, dir string, beside map[string][]byte) error {
	held, ok := files[c.CA]
	switch {
	case c.CA == "":
		return nil
	case ok:
		c.pem = []byte(held.Text)
		return nil
	case dir == "":
		return fmt.Errorf("the document does not hold the file %.200q: put it under the key `files`, or have `hallmark issuers apply` do it", c.CA)
	}
	path := c.CA
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	pem, err := yamlfile.Read(path, maxFile)
	c.pem, beside[c.CA] = pem, pem
	return err
}

// Same says whether issuers are set up alike, and their authorities have the same certificates.
func Same(a, b []Issuer) bool {
	return slices.EqualFunc(a, b, func(a, b Issuer) bool { return a.text() == b.text() })
}

// text is all that is set of an issuer. Of an authority it is the certificate, wherever it is.
func (c Issuer) text() string {
	pem, err := c.authority()
	c.CA, c.pem = "", nil
	return fmt.Sprintf("%q %s %v", fmt.Sprintf("%+v", c), pem, err)
}
