package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// A secret of a robot, or a token of a person, is hmrk_ with 26 random characters and 7 of a checksum, so
// that scanners of source code find it by its look, and tell it from an example by its checksum:
//
//	hmrk_[a-z2-7]{33}
//
// It has 130 random bits. So SHA-256 is enough to keep it: nobody can try them all, and what slows down
// guessing, as bcrypt and a wait after wrong ones do, would only slow down every login, and keep out a machine
// that got its new secret while another still shows the former one.
const (
	secretPrefix = "hmrk_"
	secretRandom = 26
	secretLength = len(secretPrefix) + secretRandom + 7
)

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newSecret draws a secret.
func newSecret() string {
	s := secretPrefix + strings.ToLower(rand.Text())[:secretRandom]
	return s + checksum(s)
}

func checksum(s string) string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(s)))
	return lowerBase32.EncodeToString(sum)
}

// isSecret says that something looks like a secret of ours, and its checksum is right.
func isSecret(s string) bool {
	return len(s) == secretLength && strings.HasPrefix(s, secretPrefix) &&
		s[secretLength-7:] == checksum(s[:secretLength-7])
}

// secretHash is what is kept of a secret.
func secretHash(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }
