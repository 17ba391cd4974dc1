package yamlfile

import (
	"go.yaml.in/yaml/v4"
)

// Lines returns the line of each key of a document, as tls.cert. What is no document of mappings has none.
func Lines(data []byte) map[string]int {
	lines := map[string]int{}
	var root yaml.Node
	if yaml.Load(data, &root) != nil {
		return lines
	}
	node := &root
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	addLines(lines, "", node)
	return lines
}

func addLines(lines map[string]int, prefix string, node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := prefix + node.Content[i].Value
		lines[key] = node.Content[i].Line
		addLines(lines, key+".", node.Content[i+1])
	}
}
