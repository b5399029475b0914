package validators

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestHollowObjects shows the rules objects that no decoder stops and no author
// writes: zero values; every pointer set, to nothing; every list and map with
// one empty item; every number at either end of its range; names as long as
// they can be, and of bytes that are no text.
func TestHollowObjects(t *testing.T) {
	worlds := badWorlds(t)
	fills := map[string]fill{
		"zero":          {depth: 0},
		"hollow":        {depth: 12},
		"lowest":        {depth: 12, number: math.MinInt64, quantity: "-9223372036854775808E", text: "-"},
		"highest":       {depth: 12, number: math.MaxInt64, quantity: "1e999", text: strings.Repeat("n", 63)},
		"long":          {depth: 12, number: 1, quantity: "1Gi", text: strings.Repeat("n", 253)},
		"no text":       {depth: 12, number: 7, quantity: "0", text: "\xff\xfe\n\x00\u2028\x1b[31m%s%!d(x)"},
		"other storage": {depth: 12, number: 3, quantity: "9e18Ei", text: "storage"},
	}
	for _, kind := range reviewedKinds() {
		for name, is := range fills {
			t.Run(kind.Kind+"/"+name, func(t *testing.T) {
				obj := newOf(t, kind)
				is.value(reflect.ValueOf(obj).Elem(), is.depth)
				for _, was := range fills {
					old := newOf(t, kind)
					was.value(reflect.ValueOf(old).Elem(), was.depth)
					reviewEveryWay(t, worlds, old, obj)
				}
			})
		}
	}
}

// A fill is what an object is filled with, down to a depth.
type fill struct {
	depth    int
	number   int64
	quantity string
	text     string
}

func (f fill) value(v reflect.Value, depth int) {
	if depth == 0 || !v.CanSet() {
		return
	}
	switch v.Interface().(type) {
	case metav1.Time, metav1.MicroTime, metav1.FieldsV1:
		return // a time means that the object goes, and ends every review
	case resource.Quantity:
		if q, err := resource.ParseQuantity(f.quantity); err == nil {
			v.Set(reflect.ValueOf(q))
		}
		return
	case intstr.IntOrString:
		v.Set(reflect.ValueOf(intstr.FromString(fmt.Sprintf("%d%%", f.number))))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.value(v.Elem(), depth-1)
	case reflect.Struct:
		for i := range v.NumField() {
			f.value(v.Field(i), depth)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		f.value(v.Index(0), depth-1)
	case reflect.Map:
		key, item := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.value(key, depth-1)
		f.value(item, depth-1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, item)
	case reflect.String:
		v.SetString(f.text)
	case reflect.Int32:
		v.SetInt(max(min(f.number, math.MaxInt32), math.MinInt32))
	case reflect.Int, reflect.Int64:
		v.SetInt(f.number)
	case reflect.Bool:
		v.SetBool(f.number != 0)
	}
}
