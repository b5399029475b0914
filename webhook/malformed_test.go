package webhook

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stayput.dev/internal/whole"
)

// A defect is a request that nobody should send, as bytes on a connection.
type defect struct {
	name string
	wire func(path string) []byte
	want string // what the answer says is wrong; alternatives are separated by |

	// without means that nothing tells which review this is, or that it is none
	// yet: an HTTP error is the only answer.
	without bool

	// hangUp means that the client sends less than it said, and leaves.
	hangUp bool

	// closes means that the connection cannot go on: where the next request
	// would begin is not known, or far away.
	closes bool
}

// request writes an HTTP request with the headers and a body.
func httpRequest(line string, headers []string, body string) []byte {
	return []byte(line + " HTTP/1.1\r\nHost: stayput\r\n" + strings.Join(append(headers, "\r\n"), "\r\n") + body)
}

func postOf(path, body string, headers ...string) []byte {
	headers = append([]string{"Content-Type: application/json", fmt.Sprint("Content-Length: ", len(body))}, headers...)
	return httpRequest("POST "+path, headers, body)
}

// asBody is a defect of a body that is sent as it should be.
func asBody(name, body, want string) defect {
	uid, _, _ := DefaultLimits().scan([]byte(body))
	return defect{
		name: name, want: want, without: clean(uid) == "",
		wire:   func(path string) []byte { return postOf(path, body) },
		closes: int64(len(body)) > DefaultLimits().Bytes,
	}
}

// wellFormed is what defects are made of.
var wellFormed = review(podKind +
	`,"operation":"CREATE","namespace":"ns","name":"p","userInfo":{"username":"u","groups":["g"]},"dryRun":false,
	"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"ns","labels":{"a":"b"}},
		"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80}]}]}},"oldObject":null,"options":{}`)

// defects is the corpus.
func defects() (all []defect) {
	add := func(d ...defect) { all = append(all, d...) }
	for _, group := range [][]defect{headerDefects(), jsonDefects(), envelopeDefects(), objectDefects(), sizeDefects(),
		wireDefects()} {
		add(group...)
	}
	return all
}

func headerDefects() (all []defect) {
	ask := func(name, line, body, want string, headers ...string) {
		all = append(all, defect{name: name, want: want, without: true, wire: func(path string) []byte {
			return httpRequest(strings.ReplaceAll(line, "PATH", path),
				append(headers, fmt.Sprint("Content-Length: ", len(body))), body)
		}})
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "post", "Post",
		"PROPFIND", "QUERY"} {
		ask("method "+method, method+" PATH", "", "must be POST")
		ask("method with a body "+method, method+" PATH", wellFormed, "must be POST", "Content-Type: application/json")
	}
	for _, c := range []string{
		"", "application/yaml", "application/x-yaml", "text/yaml", "text/plain", "text/json", "application/octet-stream",
		"application/vnd.kubernetes.protobuf",
		"application/cbor", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded",
		"application/json-patch+json", "application/merge-patch+json",
		"application/*", "*/*", "json", "application/jsonx", "application /json", "application/json, text/plain", ";",
		"application/json; charset", "application/json;q=\"",
		strings.Repeat("a", 1000) + "/" + strings.Repeat("b", 1000),
	} {
		ask("content type "+c, "POST PATH", wellFormed, "must be application/json", "Content-Type: "+c)
	}
	ask("no content type", "POST PATH", wellFormed, "must be application/json")
	for _, e := range []string{"gzip", "deflate", "br", "zstd", "compress", "x-gzip", "gzip, gzip", "GZIP",
		"identity, gzip", "unknown", strings.Repeat("z", 1000)} {
		ask("content encoding "+e, "POST PATH", wellFormed, "must be absent", "Content-Type: application/json",
			"Content-Encoding: "+e)
	}
	for _, d := range []string{"soon", "-1s", "0", "0s", "3", "1e3s", "s", "3s3", "%00", "3%20s", "99999999999999999999h",
		"-9223372036854775808ns", "NaN", "%F0%9F%92%A9"} {
		ask("timeout "+d, "POST PATH?timeout="+d, wellFormed, "must be a positive duration", "Content-Type: application/json")
	}
	ask("empty", "POST PATH", "", "empty", "Content-Type: application/json")
	return all
}

func jsonDefects() (all []defect) {
	add := func(name, body, want string) { all = append(all, asBody(name, body, want)) }
	const syntax = "invalid character|unexpected end|after top-level|not UTF-8"
	for i := 1; i < len(wellFormed); i++ {
		add(fmt.Sprint("truncated after byte ", i), wellFormed[:i], syntax)
	}
	for i, c := range []byte(wellFormed) {
		if strings.IndexByte(`{}[]:,`, c) >= 0 {
			add(fmt.Sprintf("NUL for the %c at %d", c, i), wellFormed[:i]+"\x00"+wellFormed[i+1:], syntax)
			add(fmt.Sprintf("%c at %d twice", c, i), wellFormed[:i]+string(c)+wellFormed[i:], syntax)
		}
		if c == '"' && i%3 == 0 {
			add(fmt.Sprintf("byte FF before the quote at %d", i), wellFormed[:i]+"\xff"+wellFormed[i:], syntax)
			add(fmt.Sprintf("newline before the quote at %d", i), wellFormed[:i]+"\n\"\n"+wellFormed[i:], syntax)
		}
	}
	for _, tail := range []string{"{}", "x", "]", "}", `"`, "null", "0", ",", wellFormed, "\x00", "\xef\xbb\xbf",
		"// comment", "/* */", "---\n"} {
		add("followed by "+clip(tail), wellFormed+tail, syntax)
	}
	for _, head := range []string{"\xef\xbb\xbf", "\x00", ")]}'", "---\n", "x", ",", "// comment\n", "{", "[", `""`} {
		add("after "+clip(head), head+wellFormed, syntax)
	}
	for _, doc := range []string{"hello", "apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\n", "<xml/>",
		"undefined", "NaN", "Infinity", "'a'", "{a:1}", `{"a":01}`, `{"a":1.}`,
		`{"a":.5}`, `{"a":+1}`, `{"a":0x10}`, `{"a":1e}`, `{"a":"\q"}`, `{"a":"\u12"}`, `{"a":tru}`, `{"a" "b"}`, `{"a":1,}`,
		`[1,]`, `{,}`, "\x1f\x8b\x08\x00", "\x00\x00\x00\x00", "   ", "\n"} {
		add("document "+doc, doc, syntax)
	}
	for _, doc := range []string{"null", "{}"} {
		add("document "+doc, doc, "apiVersion and kind")
	}
	for _, doc := range []string{"[]", `"AdmissionReview"`, "1", "true", "1e400", `[{}]`, "[" + wellFormed + "]"} {
		add("document "+clip(doc), doc, "cannot unmarshal")
	}
	for _, text := range []string{"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\x80", "\xe2\x82",
		"\xf0\x9f\x92"} {
		add(fmt.Sprintf("invalid UTF-8 %x", text), strings.Replace(wellFormed, `"image":"i"`, `"image":"i`+text+`"`, 1),
			"not UTF-8")
		add(fmt.Sprintf("invalid UTF-8 in a key %x", text), strings.Replace(wellFormed, `"image":"i"`, `"imag`+text+`":"i"`,
			1), "not UTF-8")
	}
	return all
}

func clip(s string) string { return fmt.Sprintf("%.20q", s) }

// swap replaces one text of the review, which must be there.
func swap(old, is string) string {
	if !strings.Contains(wellFormed, old) {
		panic("nothing to replace: " + old)
	}
	return strings.Replace(wellFormed, old, is, 1)
}

// values are one of each type, and what is hardly one.
var values = []string{`null`, `1`, `-1`, `1.5`, `1e999`, `true`, `"x"`, `""`, `[]`, `{}`, `[null]`, `{"":null}`, `[[]]`,
	`[{}]`}

func envelopeDefects() (all []defect) {
	add := func(name, body, want string) { all = append(all, asBody(name, body, want)) }
	for field, text := range map[string]string{
		"apiVersion": `"apiVersion":"admission.k8s.io/v1"`, "kind": `"kind":"AdmissionReview"`, "request": `"request":{`,
		"uid":          `"uid":"u-1"`,
		"request.kind": `"kind":{`, "operation": `"operation":"CREATE"`, "object": `"object":{`,
	} {
		key, value, _ := strings.Cut(text, ":")
		bare := strings.Trim(key, `"`)
		const missing = "apiVersion and kind|is missing|must be CREATE|no convention is about|request.kind says"
		for _, other := range []string{strings.ToUpper(bare), strings.ToUpper(bare[:1]) + bare[1:], bare + " ", " " + bare,
			bare + `\u0000`, bare[:1] + "\u200b" + bare[1:], "\u212a" + bare} {
			add(field+" as "+other, swap(text, fmt.Sprintf("\"%s\":%s", other, value)), missing)
		}
		add(field+" twice", swap(text, fmt.Sprintf("%s:null,%s", key, text)), "duplicate field|"+missing)
		add(field+" in another case too", swap(text, fmt.Sprintf("\"%s\":1,\"x%s\":%s", strings.ToUpper(bare), bare, value)),
			missing)
	}
	for _, v := range values {
		wrong := "cannot unmarshal|is missing|must be|no convention is about"
		add("apiVersion is "+v, swap(`"admission.k8s.io/v1"`, v), wrong)
		add("kind is "+v, swap(`"AdmissionReview"`, v), wrong)
		add("uid is "+v, swap(`"u-1"`, notText(v)), wrong)
		add("operation is "+v, swap(`"CREATE"`, v), wrong)
		add("request is "+v, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":`+v+`}`, wrong)
		if v != "[]" && v != "{}" && v != "null" { // of these, empty ones are as good as none
			add("user's groups are "+v, swap(`["g"]`, strings.NewReplacer(`[]`, `[1]`, `null`, `1`).Replace(v)), wrong)
			add("dryRun is "+v, swap(`"dryRun":false`, `"dryRun":`+strings.NewReplacer(`true`, `"true"`).Replace(v)), wrong)
			add("namespace is "+v, swap(`"namespace":"ns","name"`, `"namespace":`+notText(v)+`,"name"`), wrong)
			add("userInfo is "+v, swap(`{"username":"u","groups":["g"]}`, strings.NewReplacer(`{"":null}`, `[1]`).Replace(v)),
				wrong)
			add("resource is "+v, swap(`"resource":{"group":"","version":"v1","resource":"pods"}`,
				`"resource":`+strings.NewReplacer(`{"":null}`, `[1]`).Replace(v)), wrong)
		}
	}
	for _, v := range []string{"admission.k8s.io/v1beta1", "admission.k8s.io/v2", "admission.k8s.io", "v1",
		"admission.k8s.io/V1", "Admission.k8s.io/v1", "/", "admission.k8s.io/v1 ", "admission.k8s.io//v1"} {
		add("apiVersion "+v, swap("admission.k8s.io/v1", v), "apiVersion and kind")
	}
	for _, v := range []string{"admissionreview", "AdmissionReviewList", "Pod", "AdmissionRequest", "AdmissionReview "} {
		add("kind "+v, swap(`"AdmissionReview"`, `"`+v+`"`), "apiVersion and kind")
	}
	for _, v := range []string{"CONNECT", "create", "Create", "PATCH", "GET", "LIST", "*", "CREATE ", "UPSERT", "",
		`\u0043REAT`, "CREATE\\u0000", strings.Repeat("A", 100)} {
		add("operation "+v, swap(`"CREATE"`, `"`+v+`"`), "request.operation")
	}
	for _, v := range []string{"UPDATE", "DELETE"} {
		add("only an object on "+v, swap(`"CREATE"`, `"`+v+`"`), "is missing|must be null")
	}
	add("oldObject on CREATE", swap(`"oldObject":null`, `"oldObject":`+pod), "request.oldObject: must be null")
	return all
}

// notText keeps a value from being a string.
func notText(v string) string {
	if strings.HasPrefix(v, `"`) {
		return "[" + v + "]"
	}
	return v
}

func objectDefects() (all []defect) {
	add := func(name, body, want string) { all = append(all, asBody(name, body, want)) }
	for _, v := range values {
		want := "is missing|cannot unmarshal|request.object|request.oldObject"
		add("object is "+v, review(podKind+`,"operation":"CREATE","object":`+v), want)
		if v == "null" {
			continue
		}
		add("oldObject is "+v, review(podKind+`,"operation":"DELETE","oldObject":`+v), want)
		for field, old := range map[string]string{"metadata": `{"name":"p","namespace":"ns","labels":{"a":"b"}}`,
			"spec":   `{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80}]}]}`,
			"labels": `{"a":"b"}`, "containers": `[{"name":"c","image":"i","ports":[{"containerPort":80}]}]`} {
			if list := field == "containers"; strings.HasPrefix(v, "{") != list && v != "[]" && v != "[{}]" && v != "[null]" ||
				v == `{"":null}` && !list {
				if !list && strings.HasPrefix(v, "{") {
					continue
				}
				add(field+" is "+v, swap(old, v), "cannot unmarshal")
			}
		}
		if v != "1" && v != "-1" {
			add("a port is "+v, swap(`"containerPort":80`, `"containerPort":`+v), "cannot unmarshal")
		}
	}
	for _, v := range []string{"2147483648", "-2147483649", "1e10", "80.5", strings.Repeat("9", 400), "1e" +
		strings.Repeat("9", 400), "0." + strings.Repeat("0", 400) + "1", "-0.1"} {
		add("a port is "+clip(v), swap(`"containerPort":80`, `"containerPort":`+v), "cannot unmarshal")
	}
	for _, v := range []string{`"1e-1000"`, `1e-1000`, `" 1E+1000"`, `"1e1000"`, `"` + strings.Repeat("7", 101) + `"`,
		`"0.` + strings.Repeat("0", 98) + `1"`} {
		for field, old := range map[string]string{"a request": `"image":"i"`,
			"a request after what is left to others": `"image":"\ud83d\ude00"`} {
			body := swap(`"image":"i"`, old+`,"resources":{"requests":{"memory":`+v+`}}`)
			add(field+" is "+clip(v), body,
				"request.object: spec.containers[0].resources.requests[memory]: a quantity must have at most 100 digits")
			add(field+" is "+clip(v)+" in an envelope that is left to others", strings.Replace(body, `"username":"u"`,
				`"username":"\ud83d\ude00"`, 1), "a quantity must have at most 100 digits")
		}
	}
	for _, v := range []string{`{"apiVersion":"v1","kind":"Node"}`, `{"apiVersion":"v2","kind":"Pod"}`,
		`{"apiVersion":"apps/v1","kind":"Pod"}`, `{"apiVersion":"v1","kind":"pod"}`, `{"apiVersion":"v1","kind":"PodList"}`,
		`{"apiVersion":"v1"}`, `{"kind":"Pod"}`, `{"APIVERSION":"v1","KIND":"Pod"}`, `{"apiVersion":"v1","Kind":"Pod"}`,
		`{"apiversion":"v1","kind":"Pod"}`} {
		add("object "+v, review(podKind+`,"operation":"CREATE","object":`+v), "request.object: is a")
	}
	for _, k := range []string{`"group":"x","version":"v1","kind":"Y"`, `"group":"","version":"v2","kind":"Pod"`,
		`"group":"apps","version":"v1","kind":"Pod"`, `"group":"","version":"v1","kind":""`,
		`"group":"","version":"","kind":"Pod"`, `"group":"admission.k8s.io","version":"v1","kind":"AdmissionReview"`,
		`"group":"","version":"v1","kind":"PodList"`, `"group":"","version":"v1","kind":"../../etc/passwd"`} {
		add("kind "+k, swap(`"kind":{"group":"","version":"v1","kind":"Pod"}`, `"kind":{`+k+`}`), "request.kind")
	}
	for field, text := range map[string]string{"apiVersion": `"kind":"Pod","metadata"`, "metadata": `"metadata":{`,
		"name": `"name":"p","namespace":"ns","labels"`, "a label": `"a":"b"`,
		"spec": `"spec":{`, "containers": `"containers":[`, "image": `"image":"i"`, "containerPort": `"containerPort":80`} {
		key, _, _ := strings.Cut(text, ":")
		add(field+" twice in the object", swap(text, key+":null,"+text), "duplicate field|cannot unmarshal")
	}
	return all
}

func sizeDefects() (all []defect) {
	l := DefaultLimits()
	add := func(name, object, want string) {
		all = append(all,
			asBody(name, review(podKind+`,"operation":"CREATE","object":{"apiVersion":"v1","kind":"Pod",`+object+`}`), want))
	}
	for _, at := range []struct{ name, before, after string }{
		{"an unknown field", `"x":`, ``}, {"spec", `"spec":`, ``}, {"metadata", `"metadata":`, ``},
		{"labels", `"metadata":{"labels":`, `}`},
		{"containers", `"spec":{"containers":`, `}`}, {"managed fields", `"metadata":{"managedFields":[{"fieldsV1":`, `}]}`},
		{"status", `"status":`, ``},
	} {
		for _, nest := range []struct{ open, shut string }{{"[", "]"}, {`{"a":`, "}"}, {`[{"a":`, "}]"},
			{`{"spec":[`, "]}"}} {
			for _, depth := range []int{l.Depth, 1000, 100_000} {
				add(fmt.Sprintf("%d of %s in %s", depth, nest.open, at.name), at.before+strings.Repeat(nest.open,
					depth)+"0"+strings.Repeat(nest.shut, depth)+at.after, "nested too deeply|larger than|too many values")
			}
			add("unclosed "+nest.open+" in "+at.name, at.before+strings.Repeat(nest.open, 100_000),
				"nested too deeply|too many values")
		}
		for _, wide := range []struct{ open, item, shut string }{{"[", "{}", "]"}, {"[", "[]", "]"}, {"[", "0", "]"},
			{"[", `""`, "]"}, {"[", "null", "]"}, {"{", `"a":0`, "}"}} {
			for _, n := range []int{l.Values, 1_000_000} {
				add(fmt.Sprintf("%d of %s in %s", n, wide.item, at.name), at.before+wide.open+strings.Repeat(wide.item+",",
					n)+wide.item+wide.shut+at.after, "too many values|larger than")
			}
		}
		add("a string larger than a body in "+at.name, at.before+`"`+strings.Repeat("x", int(l.Bytes))+`"`+at.after,
			"larger than")
		add("a number larger than a body in "+at.name, at.before+strings.Repeat("1", int(l.Bytes))+at.after, "larger than")
		add("spaces larger than a body in "+at.name, at.before+strings.Repeat(" ", int(l.Bytes))+"0"+at.after, "larger than")
	}
	return all
}

func wireDefects() (all []defect) {
	wire := func(name, text, want string) {
		all = append(all, defect{name: name, want: want, without: true, closes: true, wire: func(path string) []byte {
			return []byte(strings.ReplaceAll(text, "PATH", path))
		}})
	}
	head := "POST PATH HTTP/1.1\r\nHost: s\r\nContent-Type: application/json\r\n"
	size := fmt.Sprintf("Content-Length: %d\r\n", len(wellFormed))
	for _, n := range []int{0, 1, 10, len(wellFormed) / 2, len(wellFormed) - 1} {
		all = append(all, defect{name: fmt.Sprintf("only %d bytes of those promised", n), want: "read the body|unexpected",
			without: true, closes: true, hangUp: true, wire: func(path string) []byte {
				return []byte(strings.ReplaceAll(head, "PATH", path) + size + "\r\n" + wellFormed[:n])
			}})
	}
	for _, v := range []string{"-1", "x", "1,2", "1 2", "0x10", "99999999999999999999", "+5", "1e3", "٣"} {
		wire("Content-Length "+v, head+"Content-Length: "+v+"\r\n\r\n"+wellFormed, "400 Bad Request|not implemented")
	}
	wire("two lengths", head+size+"Content-Length: 3\r\n\r\n"+wellFormed, "400 Bad Request")
	for _, v := range []string{"gzip", "chunked, chunked", "identity", "gzip, chunked", "xchunked", "chunked\x0b"} {
		wire("Transfer-Encoding "+v, head+"Transfer-Encoding: "+v+"\r\n\r\n"+wellFormed,
			"Unsupported transfer encoding|400 Bad Request|unsupported transfer")
	}
	for _, chunk := range []string{"x\r\n", "-1\r\n", "0x1\r\n{}", "fffffffffffffffff\r\n{}", "2\r\n{}x", "2;" +
		strings.Repeat("e", 20_000) + "\r\n{}\r\n0\r\n\r\n", "5\nabc"} {
		d := defect{name: "chunk " + clip(chunk), want: "read the body|invalid character|400 Bad", without: true,
			closes: true, hangUp: true}
		d.wire = func(path string) []byte {
			return []byte(strings.ReplaceAll(head, "PATH", path) + "Transfer-Encoding: chunked\r\n\r\n" + chunk)
		}
		all = append(all, d)
	}
	for name, text := range map[string]string{
		"no host":                "POST PATH HTTP/1.1\r\n" + size + "\r\n" + wellFormed,
		"two hosts":              "POST PATH HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"a host of another make": "POST PATH HTTP/1.1\r\nHost: a b\r\n\r\n",
		"HTTP/2":                 "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"HTTP/3":                 "POST PATH HTTP/3.0\r\nHost: a\r\n\r\n",
		"no version":             "POST PATH\r\n\r\n",
		"no method":              " PATH HTTP/1.1\r\nHost: a\r\n\r\n",
		"a method of signs":      "P(ST PATH HTTP/1.1\r\nHost: a\r\n\r\n",
		"noise":                  "\x00\x01\x02\x03\r\n\r\n",
		"a header without colon": "POST PATH HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
		"a space in a header":    "POST PATH HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n",
		"a NUL in a header":      "POST PATH HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
		"a folded header":        "POST PATH HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n",
		"an escape in the path":  "POST PATH%zz HTTP/1.1\r\nHost: a\r\n\r\n",
		"a header of a megabyte": "POST PATH HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 1<<20),
		"a path of a megabyte":   "POST PATH" + strings.Repeat("x", 1<<20),
		"many headers":           "POST PATH HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 100_000),
		"an expectation":         "POST PATH HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\nContent-Length: 0\r\n\r\n",
	} {
		wire(name, text, "400 Bad Request|431|417|505|404")
	}
	return all
}

// TestEveryDefectIsAnswered sends the corpus to a server over TLS, on a
// connection that goes on, at both webhooks: each request is answered by a 4xx, or
// by a denial with its uid, in words that name the defect, and the next request
// on the same connection is answered as ever.
func TestEveryDefectIsAnswered(t *testing.T) {
	whole.NotShort(t, "waits for the answers to a thousand requests")
	const atLeast = 500 // R3
	corpus := defects()
	if len(corpus) < atLeast {
		t.Errorf("%d malformed requests, fewer than %d", len(corpus), atLeast)
	}
	w := newWebhook(t)
	var log bytes.Buffer
	w.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
	s, client, stop := startServer(t, w.Handler(), time.Millisecond)
	line := &wireClient{t: t, address: s.Listener.Addr().String(),
		config: client.Transport.(*http.Transport).TLSClientConfig}
	line.config.NextProtos = nil
	line.good(ValidatePath)
	goroutines, heap := runtime.NumGoroutine(), heapInUse()
	answers := map[string]int{}
	for _, path := range []string{ValidatePath, MutatePath} {
		for _, d := range corpus {
			answers[line.check(path, d)]++
		}
	}
	line.close()
	t.Logf("%d malformed requests at 2 webhooks, %d connections: %v", len(corpus), line.dialled, answers)
	if log.Len() > 0 {
		t.Errorf("errors in the log, such as a panic: %.2000s", &log)
	}
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, and %d before", n, goroutines)
	}
	if grown := heapInUse() - heap; grown > 8<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// heapInUse returns the bytes of objects that are reachable.
func heapInUse() int64 {
	var m runtime.MemStats
	for range 3 { // a pool keeps what is in it for two collections
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A wireClient writes bytes to a connection, and opens another only when the
// last cannot go on.
type wireClient struct {
	t       *testing.T
	address string
	config  *tls.Config
	conn    *tls.Conn
	r       *bufio.Reader
	dialled int
}

func (c *wireClient) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.conn = nil
}

// ask sends a request and returns the answer with its body.
func (c *wireClient) ask(wire []byte, hangUp bool) (*http.Response, string, error) {
	if c.conn == nil {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", c.address, c.config)
		if err != nil {
			c.t.Fatal(err)
		}
		c.conn, c.r = conn, bufio.NewReader(conn)
		c.dialled++
	}
	_ = c.conn.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make(chan struct{})
	go func(conn *tls.Conn) { // an answer may come before all is sent
		defer close(sent)
		_, _ = conn.Write(wire)
		if hangUp {
			_ = conn.CloseWrite()
		}
	}(c.conn)
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(resp.Body)
	if resp.Close {
		c.close()
	}
	<-sent
	return resp, string(body), err
}

// good sends a well-formed review, which must be allowed.
func (c *wireClient) good(path string) error {
	resp, body, err := c.ask(postOf(path, wellFormed), false)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, `"allowed":true`) {
		return fmt.Errorf("%s %s", resp.Status, body)
	}
	return nil
}

// check sends a malformed request and returns what kind of answer it got.
func (c *wireClient) check(path string, d defect) string {
	wire := d.wire(path)
	resp, body, err := c.ask(wire, d.hangUp)
	if err != nil {
		c.t.Errorf("%s at %s: no answer: %v", d.name, path, err)
		c.close()
		return "none"
	}
	kind := resp.Status[:3]
	message := resp.Status + " " + body
	switch {
	case resp.StatusCode >= 400 && resp.StatusCode < 500 || resp.StatusCode == http.StatusNotImplemented ||
		resp.StatusCode == http.StatusHTTPVersionNotSupported:
		if !d.without {
			c.t.Errorf("%s at %s: it has a uid, and the answer is %s, which fails open: %s", d.name, path, resp.Status, body)
		}
		var status metav1.Status
		if resp.Header.Get("Content-Type") == "application/json" {
			if err := json.Unmarshal([]byte(body), &status); err != nil || status.Kind != "Status" ||
				int(status.Code) != resp.StatusCode {
				c.t.Errorf("%s at %s: no Status: %s", d.name, path, body)
			}
		}
	case resp.StatusCode == http.StatusOK:
		kind = "denied"
		var got admissionv1.AdmissionReview
		if err := json.Unmarshal([]byte(body), &got); err != nil || got.Response == nil {
			c.t.Errorf("%s at %s: %v: %s", d.name, path, err, body)
			break
		}
		if r := got.Response; r.Allowed || r.UID != "u-1" || r.Result == nil || r.Result.Code < 400 {
			c.t.Errorf("%s at %s: %s", d.name, path, body)
			break
		}
		message = got.Response.Result.Message
	default:
		c.t.Errorf("%s at %s: %s %s", d.name, path, resp.Status, body)
	}
	named := false
	for _, want := range strings.Split(d.want, "|") {
		named = named || strings.Contains(message, want)
	}
	if !named {
		c.t.Errorf("%s at %s: %q does not say %q", d.name, path, message, d.want)
	}
	if d.closes {
		c.close()
		return kind
	}
	if c.conn == nil {
		c.t.Errorf("%s at %s: the connection was closed", d.name, path)
		return kind
	}
	if err := c.good(path); err != nil {
		c.t.Errorf("after %s at %s the connection does not go on: %v", d.name, path, err)
		c.close()
	}
	return kind
}
