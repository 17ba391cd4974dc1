package archive

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// compared reads a file, and fails at its end where it is not what the manifest says.
type compared struct {
	r    io.Reader
	want File
	hash hash.Hash
	n    int64
}

func (c *compared) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.hash.Write(p[:n])
	if errors.Is(err, io.EOF) && (c.n != c.want.Size || hex.EncodeToString(c.hash.Sum(nil)) != c.want.SHA256) {
		err = fmt.Errorf("%w: %s is not what its manifest says", ErrDamaged, c.want.Path)
	}
	return n, err
}
