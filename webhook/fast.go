//go:build !slowjson

package webhook

// fastDecoder says whether package fastjson decodes what it can. It only
// affects speed: with the build tag slowjson, sigs.k8s.io/json decodes
// everything, and the handler's tests must pass too.
const fastDecoder = true
