package webhook

import (
	"strings"

	"stayput.dev/internal/fastjson"
	"stayput.dev/internal/jsonscan"
)

// Limits bound what one request, and all of them together, may cost.
type Limits struct {
	// Bytes is the largest body. An AdmissionReview holds the object twice,
	// each up to 3 MiB as the API server receives it and half of that as etcd
	// stores it, and more once defaulted.
	Bytes int64

	// Values is how many JSON values a body may hold, where those in some lists
	// count for more. Wide Kubernetes types decode to a thousand times the
	// size of the {} that they are written as.
	Values int

	// Depth is how deeply JSON values may be nested.
	Depth int

	// InFlight is how many requests are worked on at a time, and Memory how many
	// bytes they may take together; the API server is asked to send further ones
	// again.
	InFlight int
	Memory   int64
}

// DefaultLimits are far above what an API server sends for real objects: a
// StatefulSet of 9 KB has some 600 values and a depth of 20. They hold what any
// one body takes below 128 MiB of memory; see TestNoBodyCostsMuch.
func DefaultLimits() Limits {
	return Limits{Bytes: 7 << 20, Values: 20_000, Depth: 100, InFlight: 256, Memory: memory()}
}

// budget is what the limits say to the decoder, which asks for the memory that a
// document of so many bytes takes, in bytes, before it takes it.
func (l Limits) budget(size int, reserve func(int64) bool) fastjson.Budget {
	return fastjson.Budget{
		Values: l.Values, Depth: l.Depth, Costly: costly, Weight: costlyWeight,
		Room: func(values int) bool { return reserve(takes(size, values)) },
	}
}

// takes estimates what a document of so many bytes takes decoded, in bytes.
func takes(size, values int) int64 { return 4*int64(size) + 500*int64(values) }

// scan says of a document that the decoder has not taken whether that is for the
// limits, which it counts as [fastjson.Document] does. It walks the document once,
// without allocating, and stops where it is over the limits; it says why. It also
// finds request.uid, so that the answer can name it, and estimates what the
// document takes decoded. It does not validate: that is the decoder's work.
func (l Limits) scan(body []byte) (uid string, cost int64, over string) {
	var depth, values int
	var path [3]string // the keys on the way to where we are, as far as they matter
	var key string     // the last string at this level, while it may be a key
	var listed bool    // whether the last string names a costly list
	var inside int     // the depth of that list
	for i := 0; i < len(body); i++ {
		switch c := body[i]; c {
		case '"':
			end := jsonscan.StringEnd(body, i+1)
			text := body[i+1 : end]
			listed = inside == 0 && isKey(body[min(end+1, len(body)):]) && mayBeCostly(text)
			if i = end; uid == "" && end < len(body) && depth == 2 && path[1] == "request" && key == "uid" {
				uid = string(text)
			}
			if depth <= 2 && len(text) <= len("request") {
				key = known(text)
			} else {
				key = ""
			}
		case '{', '[':
			values++
			if depth++; depth > l.Depth {
				return uid, 0, "is nested too deeply"
			}
			if depth < len(path) {
				path[depth-1], key = key, ""
			}
			if listed {
				inside, listed = depth, false
			}
		case '}', ']':
			if depth--; depth < 0 {
				return uid, 0, "" // the decoder says what is wrong
			}
			if depth < inside {
				inside = 0
			}
		case ',':
			values++
			if inside > 0 {
				values += costlyWeight - 1
			}
			key, listed = "", false
		}
		if values > l.Values {
			return uid, 0, "has too many values"
		}
	}
	return uid, takes(len(body), values), ""
}

// isKey says whether a colon follows.
func isKey(rest []byte) bool {
	for _, c := range rest {
		switch c {
		case ':':
			return true
		case ' ', '\t', '\n', '\r':
		default:
			return false
		}
	}
	return false
}

// known returns the keys that scan looks for, without allocating.
func known(text []byte) string {
	switch string(text) {
	case "request":
		return "request"
	case "uid":
		return "uid"
	}
	return ""
}

// clean returns a uid as the API server writes them, or "" for anything else,
// so that nothing unquoted gets into an answer.
func clean(uid string) string {
	if len(uid) > 128 || strings.ContainsFunc(uid, func(r rune) bool { return r <= ' ' || r == '\\' || r > '~' }) {
		return ""
	}
	return uid
}
