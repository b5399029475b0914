package webhook

import (
	"strings"

	"stayput.dev/internal/fastjson"
	"stayput.dev/internal/jsonscan"
)

// Limits limit the cost of one request, and of all together.
type Limits struct {
	// Bytes is the largest body. An AdmissionReview holds the object twice,
	// each up to 3 MiB as the API server receives it and half of that as etcd
	// stores it, and more once defaulted.
	Bytes int64

	// Values is how many JSON values a body may hold. Values in some lists
	// count as several. Wide Kubernetes types take a thousand times the size of
	// the {} that they are decoded from.
	Values int

	// Depth is how deeply JSON values may be nested.
	Depth int

	// InFlight is how many requests are processed at a time, and Memory how
	// many bytes they may take together. The API server is asked to send
	// further ones again.
	InFlight int
	Memory   int64
}

// DefaultLimits are far above what an API server sends for real objects: a
// StatefulSet of 9 KB has some 600 values and a depth of 20. They keep the
// memory for any one body below 128 MiB; see TestNoBodyCostsMuch.
func DefaultLimits() Limits {
	return Limits{Bytes: 7 << 20, Values: 20_000, Depth: 100, InFlight: 256, Memory: memory()}
}

// budget returns the limits for the decoder. Before the decoder takes memory
// for a document of a size, in bytes, it must reserve it.
func (l Limits) budget(size int, reserve func(int64) bool) fastjson.Budget {
	return fastjson.Budget{
		Values: l.Values, Depth: l.Depth, Costly: costly, Weight: costlyWeight, Free: free,
		Room: func(values int) bool { return reserve(takes(size, values)) },
	}
}

// takes estimates the memory of a decoded document, in bytes.
func takes(size, values int) int64 { return 4*int64(size) + 500*int64(values) }

// scan checks the limits for a document that the decoder did not accept; it
// counts as [fastjson.Document] does. It walks the document once, without
// allocating, and stops where a limit is exceeded; over says which. It also
// finds request.uid, so that the answer can have it, and estimates the memory
// of the decoded document. It does not validate: the decoder does.
func (l Limits) scan(body []byte) (uid string, cost int64, over string) {
	var depth, values int
	var path [3]string // the relevant keys on the path to the current value
	var key string     // the last string at this level, if it may be a key
	var listed bool    // whether that string names a costly list
	var unread bool    // whether it names what counts nothing
	var inside int     // the depth of the costly list around the current value, or of what counts nothing
	each := 1          // how many values a comma counts for
	for i := 0; i < len(body); i++ {
		switch c := body[i]; c {
		case '"':
			end := jsonscan.StringEnd(body, i+1)
			text := body[i+1 : end]
			named := inside == 0 && isKey(body[min(end+1, len(body)):])
			listed, unread = named && mayBeCostly(text), named && free(string(text))
			if i = end; uid == "" && end < len(body) && depth == 2 && path[1] == "request" && key == "uid" {
				uid = string(text)
			}
			if depth <= 2 && len(text) <= len("request") {
				key = known(text)
			} else {
				key = ""
			}
		case '{', '[':
			if unread {
				each = 0
			}
			values += min(each, 1)
			if depth++; depth > l.Depth {
				return uid, 0, "is nested too deeply"
			}
			if depth < len(path) {
				path[depth-1], key = key, ""
			}
			if listed {
				each = costlyWeight
			}
			if listed || unread {
				inside, listed, unread = depth, false, false
			}
		case '}', ']':
			if depth--; depth < 0 {
				return uid, 0, "" // the decoder says what is wrong
			}
			if depth < inside {
				inside, each = 0, 1
			}
		case ',':
			values += each
			key, listed, unread = "", false, false
		}
		if values > l.Values {
			return uid, 0, "has too many values"
		}
	}
	return uid, takes(len(body), values), ""
}

// isKey says whether a colon follows, so that the last string was a key.
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

// clean returns a uid of the form that the API server writes, and "" for
// anything else, so that an answer contains nothing that needs escaping.
func clean(uid string) string {
	if len(uid) > 128 || strings.ContainsFunc(uid, func(r rune) bool { return r <= ' ' || r == '\\' || r > '~' }) {
		return ""
	}
	return uid
}
