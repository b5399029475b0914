package main

import (
	"context"
	"errors"

	"stayput.dev/internal/config"
	"stayput.dev/manifest"
)

// An outside is what links the client of an API server, or kustomize, which take longer
// to start than a chart takes to review.
type outside struct {
	list            func(l *linter, ctx context.Context, s config.Settings, bar *progress) (*listed, error)
	kustomize       func(dir string, instead map[string][]byte) (manifest.Stream, error)
	isKustomization func(dir string) bool
}

// errOutside ends a command that needs [outside], in a program that has none of it.
var errOutside = errors.New("a command of the whole program")

// needs returns errOutside where what is asked for is not linked.
func (o *outside) needs(cluster bool, kustomizations []string) error {
	if (cluster || len(kustomizations) > 0) && o.list == nil {
		return errOutside
	}
	return nil
}
