package lsp

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// pathOf returns the path of a file that a URI names. Editors differ in what they escape.
func pathOf(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", err
	}
	if u.Scheme != "file" || u.Path == "" {
		return "", fmt.Errorf("%q: only files are reviewed", uri)
	}
	path := u.Path
	if len(path) > 2 && path[0] == '/' && path[2] == ':' { // /c:/folder, of Windows
		path = strings.ToUpper(path[1:2]) + path[2:]
	} else if u.Host != "" {
		path = "//" + u.Host + path
	}
	return filepath.Clean(filepath.FromSlash(path)), nil
}

// uriOf returns the URI of a file.
func uriOf(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}
