package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

const readmeHead = `<!-- Written by deploy/generate from values.yaml: make generate. -->
# Stayput's chart

Keeps the names and the data of stateful workloads, as an admission webhook.

    helm install stayput deploy/chart --namespace stayput --create-namespace
    helm test stayput --namespace stayput

It is installed in mode ` + "`warn`" + `, which denies nothing. docs/operations.md says how to
roll it out, upgrade it, and take it out of the way. ` + "`helm uninstall`" + ` removes the webhook
configurations first, and leaves what Stayput has set on volumes and other
objects, and the Secret with its CA.

The webhooks and permissions come from the rules and cannot be set here.

| value | default | |
| --- | --- | --- |
`

// readme returns the chart's README: the values with the comments that begin
// with --, in their order.
func readme(values []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(values, &doc); err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	var b bytes.Buffer
	b.WriteString(readmeHead)
	if err := rows(&b, "", doc.Content[0]); err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	return b.Bytes(), nil
}

func rows(b *bytes.Buffer, path string, mapping *yaml.Node) error {
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		name := strings.TrimPrefix(path+"."+key.Value, ".")
		_, about, found := strings.Cut(key.HeadComment, "# -- ")
		if !found {
			if value.Kind != yaml.MappingNode || len(value.Content) == 0 {
				return fmt.Errorf("line %d: %s has no comment that begins with --", key.Line, name)
			}
			if err := rows(b, name, value); err != nil {
				return err
			}
			continue
		}
		var v any
		if err := value.Decode(&v); err != nil {
			return err
		}
		// JSON of a decoded map has its keys in order.
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "| `%s` | `%s` | %s |\n", name, text, strings.ReplaceAll(about, "|", `\|`))
	}
	return nil
}
