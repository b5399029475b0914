package cluster

import "strings"

// SplitPath splits the text of a field.Path: a.b[0].c[x.y/z] is a, b, 0, c,
// x.y/z.
func SplitPath(path string) (elems []string) {
	for path != "" {
		switch {
		case path[0] == '.':
			path = path[1:]
		case path[0] == '[':
			end := strings.IndexByte(path, ']')
			if end < 0 {
				return append(elems, path[1:])
			}
			elems, path = append(elems, path[1:end]), path[end+1:]
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			elems, path = append(elems, path[:end]), path[end:]
		}
	}
	return elems
}
