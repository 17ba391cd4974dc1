package image

import (
	"bytes"
	"encoding/xml"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// SBOMs are asked for one thing alone: how many packages state a licence. They come in several forms, of which the first byte tells
// which one it is: JSON (SPDX 2 and 3, CycloneDX), XML (CycloneDX), and lines of tags (SPDX 2). What is not read says nothing.

// licencesIn counts the packages of an SBOM that state a licence. It keeps nothing of them.
func licencesIn(sbom []byte) (n int) {
	switch text := bytes.TrimLeft(bytes.TrimPrefix(sbom, []byte("\xef\xbb\xbf")), " \t\r\n"); {
	case bytes.HasPrefix(text, []byte("<")):
		return licencesInXML(text)
	case bytes.HasPrefix(text, []byte("{")):
		return licencesInJSON(text)
	case bytes.HasPrefix(text, []byte(`"`)): // as a predicate of cosign, which has tags and XML as one text
		packed := inText(func(b []byte) {
			if !bytes.HasPrefix(b, []byte(`"`)) {
				n = licencesIn(b)
			}
		})
		if strictjson.Walk(text, strictjson.MaxDepth, packed) != nil {
			return 0
		}
		return n
	default:
		return licencesInTags(text)
	}
}

// inText is told of a text as bytes. It implements strictjson.BytesVisitor.
type inText func(b []byte)

// Member implements strictjson.Visitor.
func (t inText) Member([]byte) (strictjson.Visitor, error) { return nil, nil }

// Element implements strictjson.Visitor.
func (t inText) Element(int) strictjson.Visitor { return nil }

// Text implements strictjson.Visitor.
func (t inText) Text(string) {}

// Bytes implements strictjson.BytesVisitor.
func (t inText) Bytes(b []byte) { t(b) }

// isLicence says whether a text names a licence: SPDX has two that say that none is named. Version 3 names both by their place on the web.
func isLicence(text string) bool {
	text = strings.TrimSpace(text)
	last := text[strings.LastIndexByte(text, '/')+1:]
	return text != "" && text != "NOASSERTION" && text != "NONE" && last != "NoAssertionLicense" && last != "NoneLicense"
}

// licencesInJSON reads SPDX 2 (packages), CycloneDX (components, which may be within others), and SPDX 3 (relationships of a graph).
func licencesInJSON(sbom []byte) (n int) {
	graph := &licensing{}
	lists := map[string]strictjson.Visitor{"packages": packages(&n), "components": components(&n), "@graph": graph.list()}
	if strictjson.Walk(sbom, strictjson.MaxDepth, members(lists)) != nil {
		return 0
	}
	return n + max(graph.declared, graph.concluded)
}

func members(of map[string]strictjson.Visitor) visit {
	return visit{member: func(key string) strictjson.Visitor { return of[key] }}
}

// packages counts those of SPDX 2 that state a licence.
func packages(n *int) visit {
	stated := false
	licence := visit{text: func(l string) {
		if isLicence(l) && !stated {
			stated = true
			*n++
		}
	}}
	one := members(map[string]strictjson.Visitor{"licenseDeclared": licence, "licenseConcluded": licence})
	return visit{element: func() strictjson.Visitor { stated = false; return one }}
}

// components counts those of CycloneDX.
func components(n *int) visit {
	return visit{element: func() strictjson.Visitor {
		stated := false
		return visit{member: func(key string) strictjson.Visitor {
			switch key {
			case "licenses":
				return visit{element: func() strictjson.Visitor {
					if !stated {
						stated = true
						*n++
					}
					return nil
				}}
			case "components":
				return components(n)
			}
			return nil
		}}
	}}
}

// licensing counts the relationships of SPDX 3 that name the licence of something. A package most often has one of either kind.
type licensing struct {
	declared, concluded int

	kind  string // of the relationship that is read
	names bool   // a licence
}

func (l *licensing) list() visit {
	to := func(licence string) {
		if isLicence(licence) && !l.names {
			l.names = true
			l.count()
		}
	}
	one := members(map[string]strictjson.Visitor{
		"relationshipType": visit{text: func(kind string) {
			l.kind = kind[strings.LastIndexByte(kind, '/')+1:]
			l.count()
		}},
		"to": visit{text: to, element: func() strictjson.Visitor { return visit{text: to} }},
	})
	return visit{element: func() strictjson.Visitor { l.kind, l.names = "", false; return one }}
}

// count counts a relationship once both of what makes it one of a licence is known, in whatever order that stands there.
func (l *licensing) count() {
	switch {
	case !l.names:
	case l.kind == "hasDeclaredLicense":
		l.declared++
	case l.kind == "hasConcludedLicense":
		l.concluded++
	}
}

// licencesInTags reads the lines of SPDX 2.
func licencesInTags(sbom []byte) (n int) {
	if !bytes.Contains(sbom[:min(len(sbom), 4<<10)], []byte("SPDXVersion:")) {
		return 0
	}
	stated, within := false, false
	for line := range bytes.Lines(sbom) {
		if within = within && !bytes.Contains(line, []byte("</text>")); within {
			continue
		}
		tag, value, _ := bytes.Cut(line, []byte(":"))
		switch string(bytes.TrimSpace(tag)) {
		case "PackageName":
			stated = false
		case "PackageLicenseDeclared", "PackageLicenseConcluded":
			if isLicence(string(value)) && !stated {
				stated = true
				n++
			}
		}
		within = bytes.Contains(line, []byte("<text>")) && !bytes.Contains(line, []byte("</text>"))
	}
	return n
}

// licencesInXML reads CycloneDX. Nothing that it leads to elsewhere is followed, and what is deeper than any SBOM says nothing.
func licencesInXML(sbom []byte) (n int) {
	d := xml.NewDecoder(bytes.NewReader(sbom))
	var path []string
	var stated []bool // of the components that are open
	for {
		token, err := d.RawToken()
		if err != nil {
			break
		}
		switch t := token.(type) {
		case xml.StartElement:
			if path = append(path, t.Name.Local); len(path) > strictjson.MaxDepth {
				return 0
			}
			if t.Name.Local == "component" {
				stated = append(stated, false)
			}
			if licensesComponent(path) && len(stated) > 0 && !stated[len(stated)-1] {
				stated[len(stated)-1] = true
				n++
			}
		case xml.EndElement:
			if len(path) == 0 || path[len(path)-1] != t.Name.Local {
				return 0
			}
			if path = path[:len(path)-1]; t.Name.Local == "component" {
				stated = stated[:len(stated)-1]
			}
		}
	}
	if len(path) > 0 { // it was cut off
		return 0
	}
	return n
}

// licensesComponent says whether the last of some elements names the licence of a component.
func licensesComponent(path []string) bool {
	n := len(path)
	if n < 4 || path[0] != "bom" || path[n-2] != "licenses" || path[n-3] != "component" || path[n-4] != "components" {
		return false
	}
	return path[n-1] == "license" || path[n-1] == "expression"
}
