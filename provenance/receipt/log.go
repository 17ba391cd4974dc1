package receipt

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"golang.org/x/mod/sumdb/note"
)

// A Log is a log that receipts may be in: its name and the key of its checkpoints.
type Log struct {
	Origin string // a host name, also where it is none that resolves
	Key    ed25519.PublicKey
	From   time.Time // when it began
	Until  time.Time // when it was closed; zero as long as it goes on
}

// algEd25519 marks an Ed25519 key in signed notes.
const algEd25519 = 1

// ParseLog reads a verifier key of a signed note (C2SP signed-note): NAME+HASH+KEY.
func ParseLog(vkey string) (Log, error) {
	vkey = strings.TrimSpace(vkey)
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return Log{}, fmt.Errorf("%q is not the key of a log, NAME+HASH+KEY: %w", vkey, err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.SplitN(vkey, "+", 3)[2]) // base64 has pluses of its own
	if err != nil {
		return Log{}, err
	}
	return Log{Origin: verifier.Name(), Key: key[1:]}, nil
}

// VKey returns the log's verifier key as signed notes have it.
func (l Log) VKey() string {
	vkey, err := note.NewEd25519VerifierKey(l.Origin, l.Key)
	if err != nil {
		return "" // a key of another length, which checks nothing
	}
	return vkey
}

// ID identifies the log in bundles: the SHA-256 of its name and key as signed notes hash them.
func (l Log) ID() []byte {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s\n%c", l.Origin, algEd25519) // a hash never fails
	_, _ = h.Write(l.Key)
	return h.Sum(nil)
}

// trustedRootType is the media type of a sigstore trusted root.
const trustedRootType = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"

// trustedRoot is a sigstore trusted root, with the fields that receipts need.
type trustedRoot struct {
	MediaType string        `json:"mediaType"`
	Logs      []trustedTLog `json:"tlogs"`
}

type trustedTLog struct {
	// BaseURL tells stock verifiers the log's origin: they take its host name.
	BaseURL       string `json:"baseUrl"`
	HashAlgorithm string `json:"hashAlgorithm"`
	PublicKey     struct {
		RawBytes   []byte `json:"rawBytes"`
		KeyDetails string `json:"keyDetails"`
		ValidFor   struct {
			Start string `json:"start"`
			End   string `json:"end,omitempty"`
		} `json:"validFor"`
	} `json:"publicKey"`
	LogID keyID `json:"logId"`
}

// TrustedRoot returns a sigstore trusted_root.json with the logs in it: what `cosign --trusted-root`
// takes. It has no place for receipt keys.
func TrustedRoot(logs []Log) ([]byte, error) {
	root := trustedRoot{MediaType: trustedRootType, Logs: []trustedTLog{}}
	for _, l := range logs {
		der, err := x509.MarshalPKIXPublicKey(l.Key)
		if err != nil {
			return nil, err
		}
		t := trustedTLog{BaseURL: "https://" + l.Origin, HashAlgorithm: "SHA2_256", LogID: keyID{l.ID()}}
		t.PublicKey.RawBytes, t.PublicKey.KeyDetails = der, "PKIX_ED25519"
		t.PublicKey.ValidFor.Start = l.From.UTC().Format(time.RFC3339)
		if !l.Until.IsZero() {
			t.PublicKey.ValidFor.End = l.Until.UTC().Format(time.RFC3339)
		}
		root.Logs = append(root.Logs, t)
	}
	return json.MarshalIndent(root, "", "  ")
}

// ParseTrustedRoot reads the logs of a trusted root whose checkpoints are signed with Ed25519; others, as
// sigstore's public ones, can hold no receipts.
func ParseTrustedRoot(data []byte) (logs []Log, err error) {
	var root trustedRoot
	if err := strictjson.Unmarshal(data, &root); err != nil {
		return nil, err
	}
	if root.MediaType != trustedRootType {
		return nil, fmt.Errorf("its mediaType is %q, and should be %q", root.MediaType, trustedRootType)
	}
	for _, t := range root.Logs {
		if t.PublicKey.KeyDetails != "PKIX_ED25519" {
			continue
		}
		l, err := t.log()
		if err != nil {
			return nil, fmt.Errorf("the log %s: %w", t.BaseURL, err)
		}
		logs = append(logs, l)
	}
	if len(logs) == 0 {
		return nil, errors.New("it names no log with an Ed25519 key")
	}
	return logs, nil
}

func (t trustedTLog) log() (l Log, err error) {
	u, err := url.Parse(t.BaseURL)
	if err != nil {
		return l, err
	}
	public, err := x509.ParsePKIXPublicKey(t.PublicKey.RawBytes)
	if err != nil {
		return l, err
	}
	key, ok := public.(ed25519.PublicKey)
	if !ok {
		return l, errors.New("its key is not Ed25519, as it says")
	}
	l = Log{Origin: u.Hostname(), Key: key}
	if l.From, err = time.Parse(time.RFC3339, t.PublicKey.ValidFor.Start); err != nil {
		return l, err
	}
	if end := t.PublicKey.ValidFor.End; end != "" {
		l.Until, err = time.Parse(time.RFC3339, end)
	}
	return l, err
}
