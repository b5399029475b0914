package main

import (
	"path/filepath"

	"stayput.dev/e2e/versions"
)

// supported returns docs/versions.md: on which minors of Kubernetes Stayput was
// tested, and what is different there.
func supported(root string) ([]byte, error) {
	known, _, err := versions.Load()
	if err != nil {
		return nil, err
	}
	// A run may have written more since this program was built.
	records, err := versions.ReadTested(filepath.Join(root, versions.TestedFile))
	if err != nil {
		return nil, err
	}
	return []byte(versions.Page(known, records)), nil
}
