package fastjson_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/randfill"

	"stayput.dev/internal/fastjson"
	"stayput.dev/internal/quantity"
)

var wide = fastjson.Budget{Values: 1 << 30, Depth: 100}

// types are those that the webhook decodes.
func types() []any {
	return []any{
		&admissionv1.AdmissionReview{}, &metav1.DeleteOptions{}, &autoscalingv1.Scale{},
		&appsv1.StatefulSet{}, &appsv1.Deployment{}, &corev1.Pod{}, &corev1.Service{}, &corev1.Namespace{}, &corev1.Node{},
		&corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}, &storagev1.StorageClass{},
		&policyv1.PodDisruptionBudget{},
	}
}

// reference decodes as the API server does.
func reference(data []byte, into any) error {
	strict, err := kjson.UnmarshalStrict(data, into, kjson.DisallowDuplicateFields)
	if err == nil && len(strict) > 0 {
		err = strict[0]
	}
	return err
}

// compare fails the test if this package decodes another value than the reference,
// and returns whether this package decoded anything.
func compare(t *testing.T, data []byte, like any) bool {
	t.Helper()
	got := reflect.New(reflect.TypeOf(like).Elem()).Interface()
	want := reflect.New(reflect.TypeOf(like).Elem()).Interface()
	heavy := quantity.Check(data, like)
	if !fastjson.NewDocument(data, wide).Unmarshal(got, nil) {
		return false
	}
	if heavy != nil {
		t.Fatalf("%T: decoded %v\n%s", like, heavy, data)
	}
	if err := reference(data, want); err != nil {
		t.Fatalf("%T: decoded what the reference refuses: %v\n%s", like, err, data)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%T: %s\n%s", like, gocmp.Diff(want, got, gocmp.Exporter(func(reflect.Type) bool { return true })), data)
	}
	compareInEnvelope(t, data, got)
	return true
}

// compareInEnvelope decodes the same JSON inside an AdmissionReview, and fails the
// test if the result is not want, or if the count of values differs from that of an
// object that is skipped.
func compareInEnvelope(t *testing.T, data []byte, want any) {
	t.Helper()
	costly := wide
	costly.Costly, costly.Weight = func(key string) bool { return key == "requests" || key == "metadata" }, 8
	costly.Free = func(key string) bool { return key == "status" }
	body := slices.Concat([]byte(`{"request":{"object":`), data, []byte(`,"name":"a"}}`))
	chosen, passed := fastjson.NewDocument(body, costly), fastjson.NewDocument(body, costly)
	var review admissionv1.AdmissionReview
	ok := chosen.Unmarshal(&review, func(field *runtime.RawExtension) (any, bool) {
		if field != &review.Request.Object {
			t.Fatal("asked about another field")
		}
		return reflect.New(reflect.TypeOf(want).Elem()).Interface(), true
	})
	if !ok || review.Request.Name != "a" || !passed.Unmarshal(new(admissionv1.AdmissionReview), nil) {
		t.Fatalf("%T: not decoded in an envelope: %s", want, data)
	}
	switch got := chosen.Decoded(review.Request.Object.Raw); {
	case review.Request.Object.Raw == nil: // null
	case !reflect.DeepEqual(got, want):
		t.Fatalf("%T: %s\n%s", want, gocmp.Diff(want, got, gocmp.Exporter(func(reflect.Type) bool { return true })), data)
	}
	if chosen.Values() != passed.Values() {
		t.Fatalf("%T: %d values, and %d where it is passed over\n%s", want, chosen.Values(), passed.Values(), data)
	}
}

// TestEveryFieldOfEveryType fills each type at random, encodes it and decodes it
// again. This package must decode everything that the encoder writes.
func TestEveryFieldOfEveryType(t *testing.T) {
	fill := randfill.NewWithSeed(1).NilChance(0.2).NumElements(0, 3).MaxDepth(25).Funcs(
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewQuantity(c.Int63n(1<<40), resource.BinarySI)
		},
		func(v *intstr.IntOrString, c randfill.Continue) {
			*v = intstr.FromInt32(c.Int31())
			if c.Bool() {
				*v = intstr.FromString(c.String(8))
			}
		},
		func(f *metav1.FieldsV1, c randfill.Continue) {
			f.SetRawString(`{"f:metadata":{".":{},"k:{\"name\":\"a\"}":{}}}`)
		},
		func(r *runtime.RawExtension, c randfill.Continue) { r.Raw = []byte(`{"a":[1,2.5,"x"]}`) },
		func(b *[]byte, c randfill.Continue) { *b = nil }, // a patch, which no request has
		func(s *string, c randfill.Continue) {
			*s = []string{"", "a", "db-0", "Größe", `a "quoted" \ path`, "line\nline\t<&>\u2028",
				fmt.Sprint(c.Uint64())}[c.Intn(7)]
		},
	)
	for _, like := range types() {
		for range 200 {
			obj := reflect.New(reflect.TypeOf(like).Elem()).Interface()
			fill.Fill(obj)
			data, err := json.Marshal(obj)
			if err != nil {
				t.Fatal(err)
			}
			if !compare(t, data, like) {
				t.Fatalf("%T: not decoded: %s", like, data)
			}
		}
	}
}

func TestStrict(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		ok   bool
	}{
		"as the API server writes it": {`{"metadata":{"name":"a"},"spec":{"nodeName":"n"}}`, true},
		"white space":                 {" {\n\t\"metadata\" : { \"name\" : \"a\" , \"labels\" : { } } }\r\n", true},
		"an unknown field":            {`{"new":{"a":[1e3,-0.5,true,null,"\u00e4"]},"spec":{}}`, true},
		"an unknown field twice":      {`{"new":1,"new":2}`, true},
		"nulls": {`{"metadata":{"creationTimestamp":null,"labels":null,"name":null,` +
			`"generation":null},"spec":null}`, true},
		"escapes":                     {`{"metadata":{"name":"\"\\\/\b\f\n\r\t\u0041"}}`, true},
		"an escaped key":              {`{"m\u0065tadata":{"name":"a"}}`, true},
		"another case":                {`{"Metadata":{"name":"a"},"SPEC":{}}`, true},
		"a field twice":               {`{"spec":{},"spec":{}}`, false},
		"a field twice, once escaped": {`{"spec":{},"sp\u0065c":{}}`, false},
		"a label twice":               {`{"metadata":{"labels":{"a":"1","a":"1"}}}`, false},
		"a resource twice":            {`{"spec":{"overhead":{"cpu":"1","cpu":"1"}}}`, false},
		"a number for a string":       {`{"metadata":{"name":1}}`, false},
		"a string for a number":       {`{"metadata":{"generation":"1"}}`, false},
		"a fraction for an integer":   {`{"metadata":{"generation":1.0}}`, false},
		"an exponent for an integer":  {`{"metadata":{"generation":1e3}}`, false},
		"more than 32 bits":           {`{"spec":{"priority":2147483648}}`, false},
		"more than 64 bits":           {`{"metadata":{"generation":9223372036854775808}}`, false},
		"an array for an object":      {`{"spec":[]}`, false},
		"a bad quantity":              {`{"spec":{"overhead":{"cpu":"much"}}}`, false},
		"a large quantity": {`{"spec":{"overhead":{"cpu":"1e999","a":" -1E-999","b":"` +
			strings.Repeat("7", 100) + `","c":0.` + strings.Repeat("7", 98) + `}}}`, true},
		"more digits, left to others":    {`{"spec":{"overhead":{"cpu":"` + strings.Repeat("7", 101) + `"}}}`, false},
		"an exponent, left to others":    {`{"spec":{"overhead":{"cpu":"1e-1000"}}}`, false},
		"an exponent without quotes":     {`{"spec":{"overhead":{"cpu":1E+1000}}}`, false},
		"an exponent behind white space": {"{\"spec\":{\"overhead\":{\"cpu\":\"\u00a0\u2003 1e1000\"}}}", false},
		"white space around everything": {" {\n\"spec\"\t:\r{ \"containers\" : [ { \"name\" : \"a\" , \"args\" : [ \"b\" " +
			", null ] } , { } ] , \"overhead\" : { \"cpu\" : 1 , \"a\" : null } } } ", true},
		"a bad time":                     {`{"metadata":{"creationTimestamp":"today"}}`, false},
		"a leading zero":                 {`{"new":01}`, false},
		"a bare minus":                   {`{"new":-}`, false},
		"a point without digits":         {`{"new":1.}`, false},
		"a control character":            {"{\"new\":\"\x01\"}", false},
		"an unknown escape":              {`{"new":"\x"}`, false},
		"a short escape":                 {`{"new":"\u00"}`, false},
		"a trailing comma in an object":  {`{"spec":{},}`, false},
		"a trailing comma in an array":   {`{"spec":{"containers":[{},]}}`, false},
		"no comma":                       {`{"spec":{} "status":{}}`, false},
		"no colon":                       {`{"spec" {}}`, false},
		"cut short":                      {`{"spec":{"containers":[{"name":"a`, false},
		"another value behind":           {`{"spec":{}} {}`, false},
		"nothing":                        {``, false},
		"invalid UTF-8, left to others":  {"{\"metadata\":{\"name\":\"\xff\"}}", false},
		"a surrogate, left to others":    {`{"metadata":{"name":"\ud83d\ude00"}}`, false},
		"invalid UTF-8 where it is kept": {"{\"new\":\"\xff\"}", true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := compare(t, []byte(tc.text), &corev1.Pod{}); got != tc.ok {
				t.Errorf("decoded: %v, and should be %v", got, tc.ok)
			}
		})
	}
}

// TestEveryFieldWithEveryValue puts valid and invalid values into each field of each
// type, at the beginning of a document and with more behind.
func TestEveryFieldWithEveryValue(t *testing.T) {
	values := []string{
		"null", "true", "false", "0", "-0", "1", "-1", "00", "1.0", "0.5", "1e3", "1E+3", "1e-3", "-", "+1", ".5", "NaN",
		"nul", "nulll", "True",
		"2147483647", "-2147483648", "2147483648", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
		"123456789012345678901234567890",
		`""`, `"a"`, `"0"`, `"1"`, `"-1"`, `"+1"`, `" 1 "`, `"\t1"`, `"\u0031"`, `"1\u0000"`, `"null"`, `"true"`, `"1.5Gi"`,
		`"1e3"`, `"1E3"`, `"1e"`, `".5"`, `"5."`, `"."`, `"0.1n"`, `"1e-20"`, `"9Ei"`, `"12345678901234567890123"`,
		"\"1\u00a0\"",
		`"2020-01-02T03:04:05Z"`, `"2020-01-02T03:04:05.123456789+01:00"`, `"2020-01-02T03:04:05\u005a"`,
		`"2020-01-02T03:04:60Z"`, `"2020-01-02 03:04:05Z"`, `"5m"`,
		"\"\u2028\u00e4\x7f\"", "\"\xff\"", "\"\xed\xa0\x80\"", `"\ud83d\ude00"`, `"\ud83d"`, `"\uD7FF\uE000\ufffd\uFFFF"`,
		`"\/\b\f\r\"\\"`, "\"\t\"", `"\'"`, `"\u00g0"`, `"a`,
		"[]", "[ ]", "[null]", "[0]", `[""]`, `["a",null,"a"]`, "[{}]", "[{},null,{}]", "[[]]", "[1,]", "[,1]", "[1 2]", "[1",
		"[}",
		"{}", "{ }", `{"":null}`, `{"":""}`, `{"a":null}`, `{"a":"1","b":"2"}`, `{"a":"1","\u0061":"2"}`, `{"a":1,"b":-1.5}`,
		`{"a":{}}`, `{"a":["1",null]}`, `{"a":[1],"a":[2]}`, "{\"\xff\":\"1\",\"\xfe\":\"1\"}", `{"\ud800":"1"}`, `{"a"}`,
		`{"a":}`, `{a:1}`, `{"a":1,}`, "{]",
		" \t\r\n1 \t\r\n", "\v1", "\u00a01", "",
	}
	decoded := 0
	visited := map[reflect.Type]bool{}
	for _, like := range types() {
		places(reflect.TypeOf(like).Elem(), "", "", visited, func(before, after string) {
			for _, value := range values {
				if compare(t, []byte(before+value+after), like) {
					decoded++
				}
				if compare(t, []byte(before+value+strings.Replace(after, "}", `,"zz":[{"a":1}]}`, 1)), like) {
					decoded++
				}
			}
		})
	}
	if decoded < 10_000 {
		t.Errorf("only %d documents were decoded: hardly anything was compared", decoded)
	}
}

// places returns the text before and after each value in a type, except for values
// in types that were visited before.
func places(t reflect.Type, before, after string, visited map[reflect.Type]bool, place func(before, after string)) {
	if before != "" {
		place(before, after)
	}
	switch t.Kind() {
	case reflect.Pointer:
		places(t.Elem(), before, after, visited, place)
	case reflect.Slice:
		places(t.Elem(), before+"[", "]"+after, visited, place)
	case reflect.Map:
		places(t.Elem(), before+`{"k":`, "}"+after, visited, place)
	case reflect.Struct:
		if visited[t] {
			return
		}
		visited[t] = true
		fieldsIn(t, func(name string, t reflect.Type) {
			places(t, before+fmt.Sprintf("{%q:", name), "}"+after, visited, place)
		})
	}
}

// fieldsIn returns the fields of a struct, including those of embedded structs.
func fieldsIn(t reflect.Type, field func(name string, t reflect.Type)) {
	for i := range t.NumField() {
		f := t.Field(i)
		switch name, _, _ := strings.Cut(f.Tag.Get("json"), ","); {
		case !f.IsExported() || name == "-":
		case name == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
			fieldsIn(f.Type, field)
		default:
			field(cmp.Or(name, f.Name), f.Type)
		}
	}
}

func TestBudget(t *testing.T) {
	const text = `{"spec":{"containers":[{},{},{}]},"new":[[1,2],{"a":1,"b":2}]}`
	// Objects and arrays, and commas.
	values := strings.Count(text, "{") + strings.Count(text, "[") + strings.Count(text, ",")
	for _, tc := range []struct {
		budget fastjson.Budget
		ok     bool
	}{
		{fastjson.Budget{Values: values, Depth: 4}, true},
		{fastjson.Budget{Values: values - 1, Depth: 4}, false},
		{fastjson.Budget{Values: values, Depth: 3}, false},
	} {
		if got := fastjson.NewDocument([]byte(text), tc.budget).Unmarshal(&corev1.Pod{}, nil); got != tc.ok {
			t.Errorf("%+v: %v", tc.budget, got)
		}
	}
}

// TestParts decodes an envelope and then the raw JSON in it, with and without its
// managed fields.
func TestParts(t *testing.T) {
	const pod = ` {"metadata":{"name":"a","managedFields":[{"manager":"m","fieldsV1":{"f:a":{}}}],"generation":2}}`
	data := []byte(`{"request":{"uid":"u","object":` + pod + `,"oldObject":null}}`)
	doc := fastjson.NewDocument(data, wide)
	var review admissionv1.AdmissionReview
	if !doc.Unmarshal(&review, nil) || review.Request.UID != "u" || review.Request.OldObject.Raw != nil {
		t.Fatalf("%+v", review.Request)
	}
	for _, managed := range []bool{true, false} {
		var got, want corev1.Pod
		if err := reference([]byte(pod), &want); err != nil {
			t.Fatal(err)
		}
		if !managed {
			want.ManagedFields = nil
		}
		if !doc.UnmarshalRaw(review.Request.Object.Raw, &got, managed) || !reflect.DeepEqual(got, want) {
			t.Errorf("managed fields wanted: %v: %+v", managed, got)
		}
	}
	if doc.UnmarshalRaw([]byte(pod), &corev1.Pod{}, true) {
		t.Error("decoded what is no part of the document")
	}
}

// TestChosen decodes raw JSON together with the envelope. Raw JSON that cannot be
// decoded must stay as it was.
func TestChosen(t *testing.T) {
	for name, tc := range map[string]struct {
		object string
		ok     bool
	}{
		"an object":                            {`{"metadata":{"name":"a","managedFields":[{"manager":"m"}]}}`, true},
		"one that is left to others":           {`{"metadata":{"name":"a","generation":1.0},"spec":{"a":[1,2]}}`, false},
		"one that is too deep by itself":       {`{"new":{"new":{"new":{"new":{"new":{"new":{}}}}}}}`, true},
		"one that ends in the midst of itself": {`{"metadata":{"name":"a","labels":{"a":1}}}`, false},
		"one that ends in what is costly":      {`{"spec":{"overhead":{"cpu":"much","a":"1","b":"2"}}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(`{"request":{"kind":{"kind":"Pod"},"object":` + tc.object + `,"oldObject":null,"options":{"a":1}}}`)
			doc, plain := fastjson.NewDocument(data, wide), fastjson.NewDocument(data, wide)
			var review admissionv1.AdmissionReview
			asked := 0
			ok := doc.Unmarshal(&review, func(field *runtime.RawExtension) (any, bool) {
				asked++
				if field != &review.Request.Object {
					return nil, false
				}
				if review.Request.Kind.Kind != "Pod" {
					t.Errorf("asked before the kind was decoded")
				}
				return new(corev1.Pod), false
			})
			if !ok || asked != 2 || string(review.Request.Object.Raw) != tc.object ||
				string(review.Request.Options.Raw) != `{"a":1}` {
				t.Fatalf("asked %d times: %+v", asked, review.Request)
			}
			if !plain.Unmarshal(new(admissionv1.AdmissionReview), nil) || plain.Values() != doc.Values() {
				t.Errorf("%d values, and should be %d", doc.Values(), plain.Values())
			}
			pod, ok := doc.Decoded(review.Request.Object.Raw).(*corev1.Pod)
			if ok != tc.ok || ok && pod.ManagedFields != nil {
				t.Errorf("decoded: %v, %v", ok, pod)
			}
			if !ok && doc.UnmarshalRaw(review.Request.Object.Raw, new(corev1.Pod), false) {
				t.Error("decoded where it could not be before")
			}
		})
	}
}

// TestRoom checks that decoding ends as soon as there is no room.
func TestRoom(t *testing.T) {
	text := []byte(`{"spec":{"containers":[` + strings.Repeat("{},", 999) + `{}]}}`)
	for _, most := range []int{0, 600, 5000} {
		var asked []int
		budget := wide
		budget.Room = func(values int) bool {
			asked = append(asked, values)
			return values <= most
		}
		var pod corev1.Pod
		doc := fastjson.NewDocument(text, budget)
		ok := doc.Unmarshal(&pod, nil)
		if ok != (most == 5000) || doc.Full() == ok || !slices.IsSorted(asked) {
			t.Errorf("room for %d: %v, asked for %d", most, ok, asked)
		}
		if n := len(pod.Spec.Containers); n > most {
			t.Errorf("room for %d: %d containers were decoded", most, n)
		}
		if ok && asked[len(asked)-1] < doc.Values() {
			t.Errorf("there are %d values, and room for %d", doc.Values(), asked)
		}
	}
}

// FuzzUnmarshal looks for a document that this package and the reference decode to
// different values, or that only the reference refuses.
func FuzzUnmarshal(f *testing.F) {
	all := types()
	files, err := filepath.Glob("../../bench/payloads/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if filepath.Base(file) == "cluster.json" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(0), data)
		var review admissionv1.AdmissionReview
		if err := json.Unmarshal(data, &review); err != nil {
			f.Fatal(err)
		}
		for i, like := range all {
			if strings.HasSuffix(fmt.Sprintf("%T", like), "."+review.Request.Kind.Kind) {
				f.Add(uint8(i), []byte(cmp.Or(string(review.Request.Object.Raw), string(review.Request.OldObject.Raw))))
			}
		}
	}
	f.Add(uint8(5), []byte(`{"metadata":{"name":"\u00e4\n","labels":{"a":"b"},"creationTimestamp":null},`+
		`"spec":{"overhead":{"cpu":"1"}}}`))
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		compare(t, data, all[int(kind)%len(all)])
	})
}

// TestMutatedDocuments runs the fuzz test on documents with a few bytes changed, the
// same ones every time.
func TestMutatedDocuments(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	seed := []byte(`{"metadata":{"name":"a\u0041ä","labels":{"a":"b","c":null},"generation":12,` +
		`"managedFields":[{"manager":"m","fieldsV1":{"f:a":{}}}]},` +
		`"spec":{"containers":[{"name":"x","resources":{"requests":{"cpu":"100m","memory":1}},` +
		`"ports":[{"containerPort":80}]},{}],"hostNetwork":true},"new":[1,-2.5e3,"\n"]}`)
	const alphabet = "{}[]\",:\\ \n\tu0019azE+-.ntfä\xff\x00"
	decoded, documents := 0, 200_000
	if testing.Short() {
		documents = 20_000
	}
	for range documents {
		data := append([]byte{}, seed...)
		for range 1 + r.IntN(3) {
			at := r.IntN(len(data))
			switch r.IntN(3) {
			case 0:
				data[at] = alphabet[r.IntN(len(alphabet))]
			case 1:
				data = append(data[:at], data[at+1:]...)
			case 2:
				end := min(len(data), at+r.IntN(20))
				data = append(data[:end:end], data[at:]...)
			}
		}
		if compare(t, data, &corev1.Pod{}) {
			decoded++
		}
	}
	if decoded < 1000 {
		t.Errorf("only %d documents were decoded: nothing was compared", decoded)
	}
}
