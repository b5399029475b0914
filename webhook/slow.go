//go:build slowjson

package webhook

const fastDecoder = false
