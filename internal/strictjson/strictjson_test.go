package strictjson

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

type thing struct {
	MediaType   string            `json:"mediaType"`
	Subject     *thing            `json:"subject"`
	Layers      []thing           `json:"layers"`
	Annotations map[string]string `json:"annotations"`
	Raw         json.RawMessage   `json:"raw"`
	Named       string
	inner
}

type inner struct {
	Deep int `json:"deep"`
}

// TestRefused has what readers of JSON see different things in.
func TestRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                      "ends too early",
		`{"a":1,"a":2}`:         "twice",
		`{"a":1,"\u0061":2}`:    "twice",
		`{"é":1,"\u00e9":2}`:    "twice",
		`[{"x":{"a":1,"a":1}}]`: "twice",
		`{"annotations":{"a":"1","b":"2","c":"","d":"","e":"","f":"","g":"","h":"","i":"","j":"","j":""}}`: "twice",
		"{\"a\":\"\xff\"}":         "not UTF-8",
		"{\"\xc3\x28\":1}":         "not UTF-8",
		"{\"a\":\"\xed\xa0\x80\"}": "not UTF-8", // a surrogate as UTF-8
		"{\"a\":\"\xc0\x80\"}":     "not UTF-8", // a zero byte, overlong
		`{"a":"\ud800"}`:           "surrogate",
		`{"a":"\udc00\ud800"}`:     "surrogate",
		`{"a":"\ud800\u0041"}`:     "surrogate",
		`{"\ud83d":1}`:             "surrogate",
		"\xef\xbb\xbf{}":           "byte order mark",
		"{}\x00":                   "follows",
		`{} {}`:                    "follows",
		`{}]`:                      "follows",
		"{\"a\":\"\x00\"}":         "out of place",
		"{\"a\":\"\n\"}":           "out of place",
		`{"a":01}`:                 "out of place",
		`{"a":+1}`:                 "out of place",
		`{"a":1.}`:                 "out of place",
		`{"a":.5}`:                 "out of place",
		`{"a":1e}`:                 "out of place",
		`{"a":NaN}`:                "out of place",
		`{"a":'b'}`:                "out of place",
		`{a:1}`:                    "out of place",
		`{"a":1,}`:                 "out of place",
		`[1,]`:                     "out of place",
		`[1 2]`:                    "out of place",
		`{"a" 1}`:                  "out of place",
		`/* */ {}`:                 "out of place",
		`{"a":"\x41"}`:             "out of place",
		`{"a":"\u00g0"}`:           "out of place",
		`{"a":"\u00`:               "out of place",
		`{"a":tru`:                 "out of place",
		`{"a":"b`:                  "ends too early",
		`{"a":[`:                   "ends too early",
		strings.Repeat("[", 65) + strings.Repeat("]", 65): "deep",
		strings.Repeat("[", 1<<20):                        "deep",
		`{"MediaType":"a/b"}`:                             `should be "mediaType"`,
		`{"subject":{"mediatype":"a/b"}}`:                 `should be "mediaType"`,
		`{"layers":[{"ſubject":null}]}`:                   `should be "subject"`,
		`{"named":""}`:                                    `should be "Named"`,
		`{"DEEP":1}`:                                      `should be "deep"`,
		`{"annotations":{},"Annotations":{}}`:             `should be "annotations"`,
	} {
		if err := Unmarshal([]byte(text), &thing{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, and it should say %q", text, err, want)
		}
	}
}

func TestTaken(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`, ` [ ] `, `null`, `"a"`, `-0.5e+7`, `0`, "{\"a\" : [ 1 , 2 ]\r\n}\n", `{"a":"\ud83d\ude00 \u0000 \"\\\/\b\f\n\r\t"}`,
		`{"annotations":{"MediaType":"x","mediaType":"y"}}`, `{"raw":{"A":1,"a":2}}`, `{"other":{"mediatype":1}}`, `{"a":1,"A":2}`,
		strings.Repeat("[", 64) + strings.Repeat("]", 64), `{"deep":1,"Named":"x","a":"é😀"}`,
	} {
		if err := Check([]byte(text)); err != nil {
			t.Errorf("%.80q: %v", text, err)
		}
		if text[0] == '{' {
			if err := Unmarshal([]byte(text), &thing{}); err != nil {
				t.Errorf("%.80q: %v", text, err)
			}
		}
	}
	if err := UnmarshalKnown([]byte(`{"other":1}`), &thing{}); err == nil {
		t.Error("a key that the type does not have is known")
	}
}

// FuzzCheck wants what is taken to be JSON that is read as Go reads it, and that says the same when it is written anew.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-2.5e3,true,null,"x\u00e9\ud83d\ude00"],"b":{"a":{}}}`, `{"a":1,"a":2}`, "\"\xff\"", `"\ud800"`, `[[[]]]`, "\xef\xbb\xbf1", `{"\u0061":1,"a":1}`, "0 1",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if Check(data) != nil {
			return
		}
		if !json.Valid(data) || !utf8.Valid(data) {
			t.Fatalf("%q was taken", data)
		}
		read := func(data []byte) (value any) {
			dec := json.NewDecoder(bytes.NewReader(data))
			dec.UseNumber()
			if err := dec.Decode(&value); err != nil {
				t.Fatal(err)
			}
			return value
		}
		value := read(data)
		again, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(again); err != nil || !reflect.DeepEqual(read(again), value) {
			t.Errorf("%q is written anew as %q, %v", data, again, err)
		}
	})
}

// BenchmarkCheck has the manifest of an image with 20 layers.
func BenchmarkCheck(b *testing.B) {
	layer := `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:` + strings.Repeat("0", 64) + `","size":12345678}`
	text := []byte(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[` + strings.Repeat(layer+",", 19) + layer + `],"annotations":{"a":"b"}}`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Walk(text, 32, Fields(&thing{})); err != nil {
			b.Fatal(err)
		}
	}
}
