package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/spf13/cobra"
)

// reference is an image as people write it: [HOST[:PORT]/]REPO[:TAG][@DIGEST].
type reference struct {
	host       string
	repository string
	tag        string
	digest     digest.Digest
	prefix     string // of the digest, where only that was given: settle finds the digest
}

func parseReference(s string) (r reference, err error) {
	if _, _, err := parseDigest(s); err == nil {
		return r, usagef("%q is a digest: write REPO@%s, with its repository", s, s)
	}
	rest, d, hasDigest := strings.Cut(s, "@")
	if hasDigest {
		if r.digest, r.prefix, err = parseDigest(d); err != nil {
			return r, err
		}
	}
	if first, after, ok := strings.Cut(rest, "/"); ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		r.host, rest = first, after
	}
	r.repository, r.tag, _ = strings.Cut(rest, ":")
	if r.repository == "" {
		return r, usagef("%q names no repository", s)
	}
	return r, nil
}

// aim points a target at the host of the reference, unless another was named.
func (r reference) aim(t *target) {
	if r.host != "" && t.server == "" && t.data == "" {
		t.server = "https://" + r.host
	}
}

// repositoryIn returns the repository that an argument names, and aims at its registry; "" where there is no argument.
func (t *target) repositoryIn(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	ref, err := parseReference(args[0])
	if err != nil {
		return "", err
	}
	if ref.tag != "" || ref.digest != "" || ref.prefix != "" {
		return "", usagef("%q names an image, and this is about a repository: leave the tag or digest out", args[0])
	}
	ref.aim(t)
	return ref.repository, nil
}

// shownImage is what the API says of one.
type shownImage struct {
	Repository string             `json:"repository"`
	Reference  string             `json:"reference"`
	Descriptor ocispec.Descriptor `json:"descriptor"`
	Children   []provenance.Child `json:"children"`
	Tags       []string           `json:"tags"`
	Record     uint64             `json:"record"`
	Older      string             `json:"older"`
	Cut        []string           `json:"cut"`
	Provenance struct {
		Observed []struct {
			Record uint64               `json:"record"`
			Time   provenance.Time      `json:"time"`
			Action provenance.Action    `json:"action"`
			Tags   []provenance.TagMove `json:"tags"`
		} `json:"observed"`
		Authenticated []provenance.SignedIn `json:"authenticated"`
		Attested      []provenance.Signed   `json:"attested"`
		Claimed       []struct {
			provenance.Claim
			Records []uint64 `json:"records"`
		} `json:"claimed"`
		Unread   []provenance.StatedUnread   `json:"unread"`
		Verdicts []provenance.WeighedVerdict `json:"verdicts"`
	} `json:"provenance"`
	Contradictions []provenance.Contradiction `json:"contradictions"`
	Words          []provenance.WeighedWord   `json:"words"`
	provenance.Acts
	Built   *provenance.Built `json:"built"`
	Derived *struct {
		Bases []struct {
			About      digest.Digest `json:"about"`
			Repository string        `json:"repository"`
			Digest     digest.Digest `json:"digest"`
			Tags       []string      `json:"tags"`
			Layers     int           `json:"layers"`
			Compared   string        `json:"compared"`
		} `json:"bases"`
	} `json:"derived"`
}

// show is the verb `hallmark show`.
func (e *env) show() *cobra.Command {
	c := &cobra.Command{
		Use: "show REF|RECORD", Short: "Show everything known about one image, or one record, by class of evidence",
		Args: one("an image, as team/app:1.0 or team/app@sha256:…, or the number of a record"),
		Example: "  hallmark show team/app:1.0\n  hallmark show 41\n  hallmark show registry.example/team/app@sha256:… --json\n" +
			"  hallmark show 41 --tlog-proof > 41.tlog-proof     the proof that record 41 is in the log, or that of an image's",
	}
	t := addTarget(c)
	derive := c.Flags().Bool("derive", false, "also find the base by the layers, in what you may see")
	proof := c.Flags().Bool("tlog-proof", false, "print the C2SP tlog-proof of a record, given by its number, or of the record of an image")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if *proof {
			return e.showProof(c.Context(), t, args[0])
		}
		if index, err := strconv.ParseUint(args[0], 10, 64); err == nil {
			return e.showRecord(c.Context(), t, index, *asJSON)
		}
		ref, err := parseReference(args[0])
		if err != nil {
			return err
		}
		ref.aim(t)
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			query, err := ref.query(ctx, cl)
			if err != nil {
				return err
			}
			if *derive {
				query.Set("derived", "true")
			}
			var raw json.RawMessage
			if err := cl.get(ctx, "/api/v1/image", query, &raw); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, raw)
			}
			var img shownImage
			if err := json.Unmarshal(raw, &img); err != nil {
				return askf("an answer that is not understood: %w", err)
			}
			img.print(e.stdout)
			return nil
		})
	}
	return c
}

// showProof prints the C2SP tlog-proof of a record, or of the one that put an image where it is.
func (e *env) showProof(ctx context.Context, t *target, arg string) error {
	index, err := strconv.ParseUint(arg, 10, 64)
	isNumber := err == nil
	var ref reference
	if !isNumber {
		if ref, err = parseReference(arg); err != nil {
			return err
		}
		ref.aim(t)
	}
	return e.ask(ctx, t, func(ctx context.Context, cl *client) error {
		if !isNumber {
			var img shownImage
			query, err := ref.query(ctx, cl)
			if err != nil {
				return err
			}
			if err := cl.get(ctx, "/api/v1/image", query, &img); err != nil {
				return err
			}
			index = img.Record
		}
		data, err := cl.fetch(ctx, fmt.Sprintf("/api/v1/records/%d/tlog-proof", index), receipt.MaxBundle)
		if err == nil {
			_, err = e.stdout.Write(data)
		}
		return err
	})
}

// print writes an image for people: what it is, then what is known of it, the strongest class first, then
// what does not agree, and where it went.
func (img *shownImage) print(w io.Writer) {
	d := img.Descriptor
	line(w, "image", "%s@%s", img.Repository, d.Digest)
	line(w, "type", "%s, %d bytes", d.MediaType, d.Size)
	if len(img.Tags) > 0 {
		line(w, "tags", "%s", strings.Join(img.Tags, ", "))
	}
	for _, c := range img.Children {
		line(w, "contains", "%s %s", c.Digest, c.Platform)
	}
	img.printActs(w)
	img.printEvidence(w)
	img.printContradictions(w)
	img.printArrivals(w)
	img.printDerived(w)
	if len(img.Cut) > 0 {
		fmt.Fprintln(w, "\nThese lists are cut, and may lack something: "+clean(strings.Join(img.Cut, ", "))+".")
	}
	if img.Older != "" {
		fmt.Fprintln(w, "\nThere are older records of this image: see hallmark records --repo --digest.")
	}
}

// line writes a name and what it stands for, cleaned.
func line(w io.Writer, name, format string, args ...any) {
	fmt.Fprintf(w, "%-14s %s\n", name, clean(fmt.Sprintf(format, args...)))
}

func (img *shownImage) printEvidence(w io.Writer) {
	fmt.Fprintln(w, "\nobserved: the registry saw it itself")
	for _, o := range img.Provenance.Observed {
		line(w, "  "+string(o.Action), "%s, record %d %s", local(o.Time), o.Record, tagNames(o.Tags))
	}
	if len(img.Provenance.Authenticated) > 0 {
		fmt.Fprintln(w, "\nauthenticated: the login proves it, and nothing of the build")
	}
	for _, a := range img.Provenance.Authenticated {
		line(w, "  "+didWhat(a.Action)+" by", "%s, signed in by %s at %s (%s)", img.names().who(a.Actor), a.Means, a.Issuer, records(a.Records))
		for _, name := range slices.Sorted(maps.Keys(a.Claims)) { // where a CI job ran; what it built is another question
			line(w, "    "+name, "%s", a.Claims[name])
		}
	}
	img.printSigned(w)
	img.printWords(w)
	if len(img.Provenance.Claimed) > 0 {
		fmt.Fprintln(w, "\nclaimed: the image says so, or what is attached to it, and nobody has proved it")
	}
	for _, c := range img.Provenance.Claimed {
		about := ""
		if c.About != img.Descriptor.Digest {
			about = " about " + short(c.About)
		}
		line(w, "  "+c.Fact, "%s%s%s (%s, %s)", c.Value, named(c.Claim), about, c.From, records(c.Records))
	}
	if len(img.Provenance.Unread) > 0 {
		fmt.Fprintln(w, "\nunknown: what these documents say, which were not read")
	}
	for _, u := range img.Provenance.Unread {
		line(w, "  "+short(u.Document), "about %s: %s (%s)", short(u.About), u.Why, records(u.Records))
	}
}

// printSigned says what was found of the image's signatures, what that is worth now, and what they attest.
func (img *shownImage) printSigned(w io.Writer) {
	var here, gone []provenance.WeighedVerdict
	for _, v := range img.Provenance.Verdicts {
		if v.Standing != nil && v.Standing.Reason == provenance.Removed {
			gone = append(gone, v)
		} else {
			here = append(here, v)
		}
	}
	printVerdicts(w, "signatures: as they were found when they came, and what that is worth now", here)
	printVerdicts(w, "signatures of before: they were taken away since, and count for nothing", gone)
	if len(img.Provenance.Attested) > 0 {
		fmt.Fprintln(w, "\nattested: a signature over it was verified when it came, by somebody who was trusted then")
	}
	for _, a := range img.Provenance.Attested {
		line(w, "  "+a.Fact, "%s (%s, signed by %s, %s)", strings.TrimSpace(a.Value+" "+a.Name), a.From, a.Signer, records(a.Records))
	}
}

// printWords says what other registries say of the image. It stands apart from signatures, which it is none of.
func (img *shownImage) printWords(w io.Writer) {
	if len(img.Words) > 0 {
		fmt.Fprintln(w, "\nother registries: what their records say that came with it, as verified now; no signature, and nothing of this registry's tags")
	}
	for _, word := range img.Words {
		line(w, "  "+string(word.Class), "%s (%s)", word.SaysBesideClass(), short(word.Evidence.Digest))
		if word.Said != nil {
			img.printLogin(w, word.Said.Login)
		}
		if !word.Standing.Counts {
			line(w, "  does not count", "%s", firstOf(word.Standing.Detail, string(word.Standing.Reason)))
		}
		if len(word.Witnesses) > 0 {
			line(w, "  witnessed", "its log is cosigned by %s", strings.Join(word.Witnesses, ", "))
		}
		if word.Before != nil {
			line(w, "  verified before", "%s (record %d)", local(word.Before.Time), word.Before.Record)
		}
	}
}

// printLogin says where the CI job ran that did something elsewhere.
func (img *shownImage) printLogin(w io.Writer, l *provenance.Login) {
	if l == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(l.Claims)) {
		line(w, "    "+name, "%s", l.Claims[name])
	}
}

func printVerdicts(w io.Writer, title string, verdicts []provenance.WeighedVerdict) {
	if len(verdicts) > 0 {
		fmt.Fprintln(w, "\n"+title)
	}
	for _, v := range verdicts {
		text := fmt.Sprintf("%s by %s", v.Form, firstOf(v.Signer, "nobody who is trusted here"))
		if v.Result == provenance.Good {
			text += ", " + string(v.KindOf())
		}
		if v.Evidence.PredicateType != "" && string(v.KindOf()) != v.Evidence.PredicateType {
			text += " over " + v.Evidence.PredicateType
		}
		if v.Line > 0 {
			text += fmt.Sprintf(", line %d", v.Line)
		}
		line(w, "  "+string(v.Result), "%s, %s (record %d)", text, local(v.Time), v.Record)
		if len(v.Names.Names) > 0 {
			line(w, "", "signed as %s%s", strings.Join(v.Names.Names, ", "), andMore(v.NamesCut))
		}
		if s := v.Summary; s != nil {
			line(w, "", "%s, says %s: %s of %s", firstOf(s.Result, "nothing"), s.Verifier, firstOf(strings.Join(s.Levels, ", "), "no level"), s.Resource)
		}
		if v.Result != provenance.Good {
			line(w, "", "%s", v.Detail)
		} else if v.Standing != nil && !v.Standing.Counts && v.Standing.Reason != provenance.Removed {
			line(w, "  does not count", "%s", v.Standing.Detail)
		}
	}
}

func andMore(cut bool) string {
	if cut {
		return ", and more"
	}
	return ""
}

func (img *shownImage) printContradictions(w io.Writer) {
	if len(img.Contradictions) > 0 {
		fmt.Fprintln(w, "\ncontradictions: these cannot all be true, and nothing here says which are")
	}
	for _, c := range img.Contradictions {
		for _, s := range c.Said {
			line(w, "  "+c.Fact, "%s about %s (%s, %s, %s)", s.Value, short(s.About), s.Class, s.From, records(s.Records))
		}
	}
}

// printDerived says what was derived, where that was asked for.
func (img *shownImage) printDerived(w io.Writer) {
	if img.Derived == nil {
		return
	}
	fmt.Fprintln(w, "\nderived: it follows from the layers of other images; nobody says so, and no record does")
	for _, b := range img.Derived.Bases {
		what := "layers"
		if b.Compared == "diffIDs" {
			what = "diff ids, which configs state"
		}
		line(w, "  base", "%s@%s %s for %s (%d %s)", b.Repository, short(b.Digest), strings.Join(b.Tags, ","), short(b.About), b.Layers, what)
	}
}

// named is what a claim calls the image that its value is the digest of.
func named(c provenance.Claim) string {
	if c.Name == "" {
		return ""
	}
	return " " + c.Name
}

// records names a few records.
func records(indexes []uint64) string {
	if len(indexes) > 3 {
		return fmt.Sprintf("records %d, %d … %d", indexes[0], indexes[1], indexes[len(indexes)-1])
	}
	s := strings.Trim(strings.ReplaceAll(fmt.Sprint(indexes), " ", ", "), "[]")
	if len(indexes) == 1 {
		return "record " + s
	}
	return "records " + s
}
