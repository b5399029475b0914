package fastjson

import (
	"reflect"
	"strings"
	"time"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"stayput.dev/internal/quantity"
)

// knownPlan returns a plan that is written by hand, or nil if the type has none.
// The types are in most objects, and would need their own UnmarshalJSON or
// reflection.
func knownPlan(t reflect.Type) plan {
	switch t {
	case reflect.TypeFor[runtime.RawExtension]():
		return decodeRaw
	case reflect.TypeFor[[]metav1.ManagedFieldsEntry]():
		return managedFieldsPlan(t)
	case reflect.TypeFor[metav1.Time]():
		return decodeTime
	case reflect.TypeFor[resource.Quantity]():
		return decodeQuantity
	case reflect.TypeFor[intstr.IntOrString]():
		return decodeIntOrString
	case reflect.TypeFor[map[string]string]():
		return func(d *decoder, i int, into unsafe.Pointer) int {
			return decodeMap[string](d, i, into, &d.label, decodeString)
		}
	case reflect.TypeFor[corev1.ResourceList]():
		return func(d *decoder, i int, into unsafe.Pointer) int {
			return decodeMap[corev1.ResourceName](d, i, into, &d.quantity, decodeQuantity)
		}
	}
	return nil
}

// decodeRaw stores a part of the document as raw JSON, and also decodes it if the
// Chooser knows its type.
func decodeRaw(d *decoder, i int, into unsafe.Pointer) int {
	if d.at(i) == 'n' {
		return d.null(i)
	}
	field := (*runtime.RawExtension)(into)
	p := part{from: i}
	if p.into, p.to = d.chosen(i, field); p.to < 0 {
		p.into, p.left = nil, p.into != nil
		if p.to = d.skip(i); p.to < 0 {
			return -1
		}
	}
	field.Raw = d.data[p.from:p.to:p.to]
	d.doc.parts = append(d.doc.parts, p)
	return p.to
}

// chosen decodes the value at i if the Chooser knows its type. If it cannot be
// decoded, the state of the decoder is as before, and the value in into undefined.
func (d *decoder) chosen(i int, field *runtime.RawExtension) (into any, end int) {
	choose := d.choose
	if choose == nil {
		return nil, -1
	}
	into, managedFields := choose(field)
	if into == nil {
		return nil, -1
	}
	depth, values, extra := d.depth, d.values, d.extra
	d.choose, d.noManagedFields = nil, !managedFields
	end = d.value(i, into)
	d.choose, d.noManagedFields = choose, false
	if end < 0 {
		d.depth, d.values, d.extra = depth, values, extra
	}
	return into, end
}

func managedFieldsPlan(t reflect.Type) plan {
	wanted := slicePlan(t)
	return func(d *decoder, i int, into unsafe.Pointer) int {
		if d.noManagedFields {
			return d.skip(i)
		}
		return wanted(d, i, into)
	}
}

// decodeQuantity parses the text between the quotes without unescaping it, as
// [resource.Quantity.UnmarshalJSON] does.
func decodeQuantity(d *decoder, i int, into unsafe.Pointer) int {
	if d.at(i) == 'n' {
		return d.null(i)
	}
	end := d.skip(i)
	if end < 0 {
		return -1
	}
	text := d.text[i:end]
	if text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	if quantity.Heavy(text) {
		return -1
	}
	q, err := resource.ParseQuantity(strings.TrimSpace(text))
	if err != nil {
		return -1
	}
	*(*resource.Quantity)(into) = q
	return end
}

func decodeTime(d *decoder, i int, into unsafe.Pointer) int {
	if d.at(i) != '"' {
		return d.null(i)
	}
	text, end := d.string(i)
	if end < 0 {
		return -1
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return -1
	}
	(*metav1.Time)(into).Time = t.Local()
	return end
}

func decodeIntOrString(d *decoder, i int, into unsafe.Pointer) int {
	v := (*intstr.IntOrString)(into)
	if d.at(i) == '"' {
		v.Type = intstr.String
		return decodeString(d, i, unsafe.Pointer(&v.StrVal))
	}
	return decodeInt32(d, i, unsafe.Pointer(&v.IntVal))
}
