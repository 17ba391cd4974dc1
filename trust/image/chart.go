package image

import (
	"context"
	"errors"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// chartLayerType is what the types of a packed chart begin with.
const chartLayerType = "application/vnd.cncf.helm.chart.content."

// charts reads what signs the charts themselves: Helm's provenance, a layer of the chart's own manifest.
func (d *docReader) charts(ctx context.Context) {
	for _, p := range d.s.platforms {
		if p.kind != trust.Chart {
			continue
		}
		content := p.packedChart()
		for _, l := range p.manifest.Layers {
			if l.MediaType == signature.ChartProvenance && content != "" {
				d.chart(ctx, &document{kind: signatureKind, about: []digest.Digest{p.desc.Digest}, on: p.desc.Digest, carrier: p.desc.Digest, from: l}, content)
			}
		}
	}
}

// packedChart is the one layer that is the chart, or nothing where there are several: then a signature of one is none of
// the others.
func (p *platform) packedChart() (content digest.Digest) {
	for _, l := range p.manifest.Layers {
		if strings.HasPrefix(l.MediaType, chartLayerType) {
			if content != "" && content != l.Digest {
				return ""
			}
			content = l.Digest
		}
	}
	return content
}

func (d *docReader) chart(ctx context.Context, doc *document, content digest.Digest) {
	if d.left--; d.left < 0 || d.bytes <= 0 {
		d.miss("there is more attached to it than is read", errors.New("a bound was reached"))
		return
	}
	if d.s.Trust.HasPGP(d.s.Repository) {
		body, err := d.s.from.Blob(ctx, doc.from, maxConfig, newRoom)
		if err != nil {
			d.miss("the chart's provenance could not be read", err)
			return
		}
		d.bytes -= int64(len(body))
		found := d.s.Trust.LookAtChart(d.s.Repository, signature.Chart{Manifest: doc.on, Layer: doc.from, Body: body, Content: content}, d.s.now)
		doc.finding = &found
	}
	d.s.documents = append(d.s.documents, doc)
}
