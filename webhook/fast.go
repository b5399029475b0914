//go:build !slowjson

package webhook

// fastDecoder says whether package fastjson decodes what it can. It is a matter of
// speed alone: with the build tag slowjson, sigs.k8s.io/json decodes all, and the
// handler's tests pass as they do without it.
const fastDecoder = true
