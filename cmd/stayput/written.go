package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/cluster"
	"stayput.dev/manifest"
	"stayput.dev/validators"
)

// written returns what is wrong with the text of a subject's manifest: its version,
// fields that its kind does not have or that are written twice, and Stayput's keys
// where they do nothing.
func (s *subject) written(by cluster.Versions) (found []validators.Finding, err error) {
	m := s.manifest
	if o := m.Outdated; o != nil && o.Since <= max(cluster.NewestMinor, by.Newest.Minor) {
		r := validators.Retirement{Kind: o.Was.Kind, Version: o.Was.GroupVersion().String(), Since: o.Since,
			Caution: o.Caution}
		if !o.Instead.Empty() {
			r.Instead = o.Instead.GroupVersion().String()
		}
		for _, d := range o.Defaults {
			r.Defaults = append(r.Defaults, validators.DefaultOf(d.Path, d.Value))
		}
		found = append(found, validators.NotServed(r, by))
		for _, path := range o.Lacks {
			found = append(found, validators.LackedField(path, r))
		}
	}
	keys, err := misplaced(m)
	if err != nil {
		return nil, err
	}
	for _, err := range m.Unknown {
		twice := (*manifest.RepeatedError)(nil)
		path := fieldOf(err)
		switch {
		case errors.As(err, &twice):
			found = append(found, validators.RepeatedField(twice.Field, twice.First, twice.Last.Line))
		case slices.ContainsFunc(keys, func(f validators.Finding) bool { return plainPath(f.Field) == plainPath(path) }):
			// Which says more.
		default:
			found = append(found, validators.UnknownField(path))
		}
	}
	return slices.Concat(found, keys), nil
}

// plainPath returns a path as strict decoding has it, where no key is in brackets.
func plainPath(path string) string { return strings.Join(cluster.SplitPath(path), ".") }

// misplaced returns the findings about Stayput's keys in a manifest. Few have any.
func misplaced(m *manifest.Manifest) ([]validators.Finding, error) {
	if !m.Mentions("stayput") && !m.Mentions(".dev/") {
		return nil, nil
	}
	data, err := m.JSON()
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, err
	}
	_, foreign := m.Object.(*metav1.PartialObjectMetadata)
	return validators.Misplaced(m.GetObjectKind().GroupVersionKind(), foreign, object), nil
}
