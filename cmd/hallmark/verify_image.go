package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// image checks every receipt that the registry has of an image.
func (v *verification) image(ctx context.Context, cl *client, ref reference) error {
	if ref.digest != "" {
		ref.tag = "" // the digest counts
	} else {
		ref.tag = firstOf(ref.tag, "latest")
	}
	var img shownImage
	query := url.Values{"repo": {ref.repository}, "ref": {firstOf(ref.digest.String(), ref.tag)}}
	if err := cl.get(ctx, "/api/v1/image", query, &img); err != nil {
		return err
	}
	v.Image, v.Digest = strings.TrimSuffix(ref.repository+":"+ref.tag, ":"), img.Descriptor.Digest
	if ref.digest != "" && v.Digest != ref.digest {
		return fmt.Errorf("%w: asked for %s, the registry tells of %s", receipt.ErrRefused, ref.digest, v.Digest)
	}
	if err := v.pull(ctx, cl, ref); err != nil {
		return err
	}
	indexes, err := recordsOf(ctx, cl, ref.repository, v.Digest, img.Record)
	if err != nil {
		return err
	}
	var errs []error
	for _, index := range indexes {
		err := v.record(ctx, cl, index, ref, index == img.Record)
		if err != nil && !errors.Is(err, receipt.ErrRefused) {
			return err
		}
		errs = append(errs, err)
	}
	if first := v.Receipts[0]; ref.tag != "" && first.Error == "" {
		err := v.chain(ctx, cl, ref, first.record)
		if err != nil && !errors.Is(err, receipt.ErrRefused) {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// pull asks for the image's manifest as clients do, and wants it to be what the registry tells of: what the API says of an image
// proves nothing of what a pull gives. Some clients pull by tag, others by the digest that a HEAD of the tag is answered with. A
// rule may refuse the pull to the caller, who is told so.
func (v *verification) pull(ctx context.Context, cl *client, ref reference) error {
	name := firstOf(ref.digest.String(), ref.tag)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		given, err := v.pulled(ctx, cl, method, "/v2/"+ref.repository+"/manifests/"+name)
		switch {
		case errors.Is(err, errNoPull):
			v.NotProved = append(v.NotProved, "What a pull of it gives: the registry refuses it to you.")
			return nil
		case err != nil:
			return err
		case given == v.Digest.String():
			continue
		}
		var now shownImage
		if err := cl.get(ctx, "/api/v1/image", url.Values{"repo": {ref.repository}, "ref": {name}}, &now); err != nil {
			return err
		}
		if now.Descriptor.Digest != v.Digest {
			return askf("%s:%s moved while it was looked at: ask again", ref.repository, ref.tag)
		}
		return fmt.Errorf("%w: %s tells of %s, and a pull (%s) gives %s", receipt.ErrRefused, cl.Name, v.Digest, method, given)
	}
	return nil
}

// errNoPull says that the registry refuses a pull to the caller.
var errNoPull = errors.New("the registry refuses the pull")

// pulled returns the digest of what a manifest is answered with, or that nothing is there. Error: errNoPull.
func (v *verification) pulled(ctx context.Context, cl *client, method, path string) (given string, err error) {
	answer, err := cl.answer(ctx, method, path)
	switch {
	case err != nil:
		return "", err
	case answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden:
		return "", errNoPull
	case answer.Status == http.StatusNotFound:
		return "nothing", nil
	case answer.Status >= 300:
		return "", askf("%s%s: the registry answers %d", cl.Base, path, answer.Status)
	case method == http.MethodHead:
		return firstOf(http.Header(answer.Header).Get("Docker-Content-Digest"), "no digest"), nil
	case v.Digest.Validate() == nil:
		return v.Digest.Algorithm().FromBytes(answer.Body).String(), nil
	}
	return digest.FromBytes(answer.Body).String(), nil
}

// recordsOf asks page by page for all records of an image, and returns their numbers: the current one first, then
// the others, oldest first.
func recordsOf(ctx context.Context, cl *client, repo string, d digest.Digest, current uint64) ([]uint64, error) {
	all, err := allRecords(ctx, cl, url.Values{"repo": {repo}, "digest": {d.String()}, "order": {"asc"}})
	indexes := []uint64{current}
	for _, r := range all {
		if r.Digest == d && r.Index != current { // others say something about it
			indexes = append(indexes, r.Index)
		}
	}
	return indexes, err
}

// record checks the receipt of one record, and that it is about this image. current says that the record
// is to have put the image, or its tag, there.
func (v *verification) record(ctx context.Context, cl *client, index uint64, ref reference, current bool) error {
	data, err := v.receipt(ctx, cl, index)
	if err != nil {
		return err
	}
	r, err := v.addReceipt(data)
	if err == nil {
		err = r.about(index, v.Digest, ref, current)
	}
	if err == nil {
		return nil
	}
	r.Record, r.Error = index, err.Error()
	return fmt.Errorf("record %d: %w", index, err)
}

// receipt fetches the receipt of a record. The registry proves one in a closed log by the log's last checkpoint; those who
// demand witnesses, who may not have seen that one, ask for the one that they cosigned last.
func (v *verification) receipt(ctx context.Context, cl *client, index uint64) ([]byte, error) {
	path := fmt.Sprintf("/api/v1/records/%d/receipt", index)
	data, err := cl.fetch(ctx, path, receipt.MaxBundle)
	if err != nil || len(v.trust.Witnesses) == 0 {
		return data, err
	}
	if _, err := receipt.Verify(data, v.trust); !errors.Is(err, receipt.ErrRefused) {
		return data, nil //nolint:nilerr // whatever it is, the caller finds it as well
	}
	origin := receipt.OriginOf(data)
	if !slices.ContainsFunc(v.trust.Logs, func(l receipt.LogEntry) bool { return l.Origin == origin && l.Closed != nil }) {
		return data, nil
	}
	signed, err := cl.fetch(ctx, "/log/"+origin+"/checkpoint.cosigned", checkpoint.MaxText)
	if err != nil {
		return data, nil //nolint:nilerr // there is none, and the receipt is refused for that
	}
	c, err := checkpoint.Parse(string(signed))
	if err != nil {
		return nil, askf("%s/log/%s/checkpoint.cosigned: %w", cl.Base, origin, err)
	}
	if again, err := cl.fetch(ctx, fmt.Sprintf("%s?at=%d", path, c.Size), receipt.MaxBundle); err == nil {
		return again, nil
	}
	return data, nil
}

// about says whether a record is what the registry said it was.
func (r *verified) about(index uint64, d digest.Digest, ref reference, current bool) error {
	switch {
	case r.record.Index != index:
		return fmt.Errorf("%w: the receipt is of record %d", receipt.ErrRefused, r.record.Index)
	case r.record.Digest != d || r.record.Repository != ref.repository:
		return fmt.Errorf("%w: it is about %s@%s", receipt.ErrRefused, r.record.Repository, r.record.Digest)
	case current && ref.tag != "" && !r.sets(ref.tag):
		return fmt.Errorf("%w: it does not set the tag %s", receipt.ErrRefused, ref.tag)
	}
	return nil
}

// sets says whether a record set a tag.
func (r *verified) sets(tag string) bool {
	if !r.record.Arrives() && r.record.Action != provenance.Tag {
		return false
	}
	return slices.ContainsFunc(r.record.Tags, func(t provenance.TagMove) bool { return t.Name == tag })
}

// print writes for people what was proved: what the records say, then by whose word.
func (v *verification) print(w io.Writer) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-13s%s\n", name, clean(fmt.Sprintf(format, args...)))
	}
	if v.Image != "" {
		line("image", "%s@%s", v.Image, v.Digest)
	}
	if v.Evidence != nil {
		printEvidence(v.Evidence, line)
	}
	for _, r := range v.Receipts {
		r.print(line)
	}
	if v.Chain != nil {
		v.Chain.print(line)
	}
	switch v.KeysFrom {
	case v.LogsFrom:
		line("trusting", "the logs and keys of %s", v.LogsFrom)
	case "": // a tlog-proof needs none
		line("trusting", "the logs of %s", v.LogsFrom)
	default:
		line("trusting", "the logs of %s, the keys of %s", v.LogsFrom, v.KeysFrom)
	}
	v.printSays(line)
}

func (r *verified) print(line func(name, format string, args ...any)) {
	if r.Error != "" {
		line("REFUSED", "a receipt of record %d: %s", r.Record, strings.TrimPrefix(r.Error, receipt.ErrRefused.Error()+": "))
		return
	}
	r.printRecord(line)
	for _, name := range r.Cosigned {
		line("  cosigned", "by %s", name)
	}
	if len(r.UnknownNotes) > 0 {
		line("  not proved", "annotations that this version does not know: %s", strings.Join(r.UnknownNotes, ", "))
	}
	if len(r.Unchecked) > 0 {
		line("  unchecked", "further signatures, by %s", strings.Join(r.Unchecked, ", "))
	}
}

// placed is a digest in its repository, or alone where it is of no image, as that of the access document.
func placed(repo string, d digest.Digest) string {
	if repo == "" {
		return d.String()
	}
	return repo + "@" + d.String()
}

// printRecord says what a receipt proves of its record, or what a tlog-proof does without it.
func (r *verified) printRecord(line func(name, format string, args ...any)) {
	if r.Entry != "" {
		line("verified", "an entry of the log, %s; what its record says stands in its receipt", r.Entry)
		line("  in", "the log %s as leaf %d of %d", r.Log, r.Leaf, r.Size)
		return
	}
	rec := r.record
	if r.Log == "" {
		line("signed", "record %d, which is not proved to be in the log", r.Record)
	}
	what := rec.Repository
	if names := tagNames(rec.Tags); names != "" {
		what += ":" + names
	}
	line("verified", "record %d: %s of %s", r.Record, rec.Action, placed(what, rec.Digest))
	if rec.Authenticated != nil {
		line("  by", "%s, signed in by %s at %s, %s", who(rec.Actor), rec.Means(), rec.Authenticated.Issuer, local(rec.Time))
	} else {
		line("  by", "%s, %s", who(rec.Actor), local(rec.Time))
	}
	if s := sourceOf(rec.Claimed); s != "" {
		line("  claims", "to be built from %s", s)
	}
	if r.Log == "" {
		line("  key", "%.12s…", r.Key)
		return
	}
	line("  in", "the log %s as leaf %d of %d, signed with the key %.12s…", r.Log, r.Leaf, r.Size, r.Key)
}
