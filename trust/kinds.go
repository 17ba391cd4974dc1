package trust

// A Kind is what a manifest is of. What is asked of it, and what it is graded by, depends on that.
type Kind string

// The kinds.
const (
	Image    Kind = "image"    // a container image, or an index of them
	Chart    Kind = "chart"    // a Helm chart
	Files    Kind = "files"    // files that nothing is known of, as oras pushes them
	Wasm     Kind = "wasm"     // a WebAssembly module or component
	Model    Kind = "model"    // a machine-learning model
	Cache    Kind = "cache"    // a build cache of BuildKit
	Document Kind = "document" // a signature, a statement, an SBOM: something about another manifest
	Unnamed  Kind = "unknown"  // anything else
)

// Applies says which checks of an image are asked of other kinds: a check that is not listed does not apply. Of a kind
// that is not here there is no grade.
var Applies = map[Kind][]string{
	Image: {
		ImageSource, ImageSignature, ImageBuild, ImageBase, ImageTag, ImageSBOM, ImageFresh, ImageSecrets, ImageUser,
		ImageVulnerabilities, ImageLicences, ImagePlatforms, ImageHealth, ImageSize, ImageSizes,
	},
	Chart: {ImageSource, ImageSignature, ImageBuild, ImageTag, ImageSecrets, ImageLicences, ImageSize, ImageSizes},
	Files: {ImageSource, ImageSignature, ImageBuild, ImageTag, ImageSecrets, ImageLicences, ImageSizes},
	Wasm: {
		ImageSource, ImageSignature, ImageBuild, ImageTag, ImageSBOM, ImageFresh, ImageSecrets, ImageVulnerabilities, ImageLicences,
		ImageSize, ImageSizes,
	},
	Model: {ImageSource, ImageSignature, ImageBuild, ImageTag, ImageSecrets, ImageLicences, ImageSizes},
}

// Asked are the checks of what has no grade: what is known of any digest, whatever is behind it.
var Asked = []string{ImageSource, ImageSignature, ImageSecrets, ImageSizes}

// Graded says whether there is a grade for a kind.
func (k Kind) Graded() bool { return Applies[k] != nil }

// String is a kind in a sentence.
func (k Kind) String() string {
	switch k {
	case Image:
		return "a container image"
	case Chart:
		return "a Helm chart"
	case Files:
		return "a set of files"
	case Wasm:
		return "a WebAssembly module"
	case Model:
		return "a model"
	case Cache:
		return "a build cache"
	case Document:
		return "a document about another image"
	}
	return "of a kind that is not known"
}
