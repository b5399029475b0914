package manifest

import (
	"encoding/json"
	"slices"
	"strconv"

	yaml "go.yaml.in/yaml/v2"
	sigsyaml "sigs.k8s.io/yaml"
)

// toJSON converts a document as sigs.k8s.io/yaml does, byte for byte, and returns
// its errors. A document of strings, whole numbers and booleans is written at once
// from what the parser returns; that package copies it first.
func toJSON(text []byte) ([]byte, error) {
	var value any
	if yaml.UnmarshalStrict(text, &value) == nil {
		if data, ok := appendJSON(make([]byte, 0, len(text)), value); ok {
			return data, nil
		}
	}
	return sigsyaml.YAMLToJSONStrict(text)
}

// appendJSON appends a value as json.Marshal writes it, or says that it is of a
// rarer type.
func appendJSON(out []byte, value any) (_ []byte, ok bool) {
	switch v := value.(type) {
	case nil:
		return append(out, "null"...), true
	case bool:
		return strconv.AppendBool(out, v), true
	case int:
		return strconv.AppendInt(out, int64(v), 10), true
	case string:
		return appendText(out, v), true
	case []any:
		out = append(out, '[')
		for i, item := range v {
			if i > 0 {
				out = append(out, ',')
			}
			if out, ok = appendJSON(out, item); !ok {
				return nil, false
			}
		}
		return append(out, ']'), true
	case map[any]any:
		return appendMap(out, v)
	}
	return nil, false
}

func appendMap(out []byte, m map[any]any) (_ []byte, ok bool) {
	keys := make([]string, 0, len(m))
	for key := range m {
		text, ok := key.(string)
		if !ok {
			return nil, false
		}
		keys = append(keys, text)
	}
	slices.Sort(keys)
	out = append(out, '{')
	for i, key := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendText(out, key), ':')
		if out, ok = appendJSON(out, m[key]); !ok {
			return nil, false
		}
	}
	return append(out, '}'), true
}

func appendText(out []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(text)
			if err != nil { // no text has one
				quoted = []byte(`""`)
			}
			return append(out, quoted...)
		}
	}
	return append(append(append(out, '"'), text...), '"')
}
